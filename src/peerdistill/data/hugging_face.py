"""Pictures in data sets of the library ``datasets``: on the Hugging Face Hub, or in a folder of Parquet files.

The library converts Parquet to memory-mapped Arrow files in its cache, once. There a picture can be read by its row.
From a Parquet file it can't: a whole group of rows would be read and decompressed for each picture. Pictures are not
decoded by the library but, like all pictures, by the data workers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from peerdistill.data.class_folders import warn_each
from peerdistill.data.config import DataConfig
from peerdistill.data.data_spec import hub_folder
from peerdistill.data.dataset import Dataset, FolderSplit
from peerdistill.data.images.decode import picture_bytes
from peerdistill.data.images.digests import Stamp, digest_of, file_stamp
from peerdistill.data.layout import Pictures, split_called
from peerdistill.data.pictures import Store, picture_dataset, pictures_to_evaluate
from peerdistill.errors import UserError, cause, shortened

if TYPE_CHECKING:
    import datasets

_NO_LABEL = "-1"
"""What the hub's data sets have for a class that is not published."""


class PicturesOfTable:
    """The pictures of one split, by their paths ``.../row``.

    Args:
        table: The split.
        column: Its column of pictures.
    """

    def __init__(self, table: "datasets.Dataset", column: str):
        import datasets

        self._pictures = table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        self._column = column
        self._files = [file["filename"] for file in table.cache_files]

    def content(self, path: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            UserError: The row has no picture, or its file can't be read.
        """
        picture = self._pictures[_row(path)][self._column]
        if picture is None or (picture["bytes"] is None and picture["path"] is None):
            raise UserError(f"cannot read picture '{path}': the row has none")
        return picture["bytes"] or picture_bytes(picture["path"])

    def stamp(self, path: str) -> Stamp:
        """Return what changes when the files of the library's cache do."""
        return Stamp(digest_of(self._stamp.key + path.rpartition("/")[2].encode()), self._stamp.is_old)

    @cached_property
    def _stamp(self) -> Stamp:
        stamps = [file_stamp(file) for file in self._files]
        return Stamp(digest_of(b"".join(one.key for one in stamps)), bool(stamps) and all(one.is_old for one in stamps))


class PicturesOfTables:
    """The pictures of all splits, by their paths ``.../split/row``."""

    def __init__(self, splits: dict[str, PicturesOfTable]):
        self._splits = splits

    def content(self, path: str) -> bytes:
        """Return the bytes of a picture."""
        return self._splits[path.rsplit("/", 2)[1]].content(path)

    def stamp(self, path: str) -> Stamp:
        """Return what changes when a picture does."""
        return self._splits[path.rsplit("/", 2)[1]].stamp(path)


def load_hugging_face(config: DataConfig, *, download: bool, skip_unreadable: bool) -> Dataset:
    """Return the pictures of a data set of ``datasets``, divided into splits.

    Its splits may have any common names, see :func:`peerdistill.data.layout.split_called`. A split without classes, as
    the test split of ImageNet, is left out with a warning. :func:`peerdistill.data.pictures.picture_dataset` describes
    how missing splits are held out.

    Args:
        config: The data options.
        download: Whether to download a data set that is not in the library's cache.
        skip_unreadable: Whether to leave out unreadable pictures.

    Raises:
        UserError: ``datasets`` is not installed, there is no such data set, it has no column of pictures or of classes,
            or as ``picture_dataset``.
    """
    found, store = _find(config, download=download)
    if "train" not in found:
        raise UserError(f"'{config.data}' has no split for training: its splits are {' and '.join(found)}")
    return picture_dataset(config.sources.title(config.data), found, store, config, skip_unreadable=skip_unreadable)


def load_hugging_face_to_evaluate(
    config: DataConfig, class_names: Sequence[str], split: str | None
) -> tuple[FolderSplit, str]:
    """Return pictures for the evaluation of a network that was trained on other ones.

    Raises:
        UserError: As :func:`load_hugging_face`, a missing split, or a class that is not one of ``class_names``.
    """
    found, store = _find(config, download=False)
    if split is not None and split not in found and found.keys() != {"train"}:
        raise UserError(f"'{config.data}' has no {split} split: it has {' and '.join(found)}")
    return pictures_to_evaluate(found, store, config, class_names, split)


def _find(config: DataConfig, *, download: bool) -> tuple[dict[str, Pictures], Store]:
    """Return the pictures of each split, and where they are."""
    tables = _splits(config.data, _opened(config.data, download=download))
    found, inside = {}, {}
    for split, table in tables.items():
        labels = _labels(config, table)
        if labels is None:
            warn_each([f"split {split} of '{config.data}' has no classes: it is not used"])
            continue
        column = _picture_column(config.data, table)
        found[split] = _pictures(config.data, split, *labels)
        inside[split] = PicturesOfTable(table, column)
    store = PicturesOfTables(inside)
    return found, Store(config.data, store.content, store.stamp)


def _opened(data: str, *, download: bool) -> Any:
    """Return what ``datasets`` loads."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        if error.name != "datasets":
            raise
        raise UserError(f"data '{data}' needs the package datasets: pip install 'peerdistill[datasets]'") from None
    folder = hub_folder(data)
    name = data.partition(":")[2] if folder is None else str(folder)
    try:
        with nullcontext() if download else _without_network():
            return datasets.load_dataset(name)
    except Exception as error:  # the library raises errors of many kinds
        hint = "" if download or folder is not None else " (--download downloads it)"
        raise UserError(f"cannot load '{data}' with datasets{hint}: {shortened(cause(error), 300)}") from error


@contextmanager
def _without_network() -> Iterator[None]:
    """Let ``datasets`` use its cache alone, which no argument of its functions does: they retry for half a minute."""
    import datasets.config
    import huggingface_hub.constants

    switches: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch in switches:
            switch.HF_HUB_OFFLINE = True
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value


def _splits(data: str, opened: Any) -> "dict[str, datasets.Dataset]":
    """Return the tables by our names of splits."""
    found: dict[str, Any] = {}
    for name, table in opened.items():
        split = split_called(name)
        if split is None or split in found:
            known = f"'{name}'" if split is None else f"two {split} splits"
            raise UserError(
                f"'{data}' has {known} among its splits {', '.join(opened)}: only train, val and test can be used"
            )
        found[split] = table
    return found


def _picture_column(data: str, table: "datasets.Dataset") -> str:
    import datasets

    found = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image) or _may_be_file(kind)]
    if len(found) != 1:
        raise UserError(
            f"'{data}' must have one column of pictures, found {len(found)} among {', '.join(table.features)}"
        )
    return found[0]


def _may_be_file(kind: Any) -> bool:
    """Return whether a column has the form of pictures in a Parquet file without the library's metadata."""
    if isinstance(kind, dict):
        return kind.keys() == {"bytes", "path"}
    return getattr(kind, "dtype", None) in ("binary", "large_binary")


def _labels(config: DataConfig, table: "datasets.Dataset") -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the names of the classes and the class of each row; None if no row has one."""
    import datasets

    column = _label_column(config, table)
    kind, values = table.features[column], table.data.column(column).to_pylist()
    unknown = next((row for row, value in enumerate(values) if value is None or str(value) == _NO_LABEL), None)
    if unknown is not None:
        if all(value is None or str(value) == _NO_LABEL for value in values):
            return None
        raise UserError(f"row {unknown} of '{config.data}' has no class in column '{column}'")
    if isinstance(kind, datasets.ClassLabel):
        names = tuple(kind.names)
        return names, tuple(names[value] for value in values)
    if all(isinstance(value, str) for value in values):
        return tuple(sorted(set(values))), tuple(values)
    if not all(isinstance(value, int) for value in values):
        raise UserError(f"column '{column}' of '{config.data}' must be class labels, integers or strings, found {kind}")
    return tuple(map(str, sorted(set(values)))), tuple(map(str, values))


def _label_column(config: DataConfig, table: "datasets.Dataset") -> str:
    import datasets

    columns = list(table.features)
    if config.label_column is not None:
        if config.label_column not in columns:
            raise UserError(
                f"'{config.data}' has no column '{config.label_column}' (label_column): it has {', '.join(columns)}"
            )
        return config.label_column
    found = [name for name, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)]
    found = found or [name for name in columns if name in ("label", "labels", "class", "cls")]
    if len(found) != 1:
        raise UserError(
            f"label_column must say which column of '{config.data}' has the classes: {', '.join(found or columns)}"
        )
    return found[0]


def _pictures(data: str, split: str, names: tuple[str, ...], classes: tuple[str, ...]) -> Pictures:
    present = set(classes)
    class_names = tuple(name for name in names if name in present)
    files = tuple(f"{split}/{row}" for row in range(len(classes)))
    return Pictures(PurePosixPath(data), class_names, files, classes=classes, source=f"split {split} of '{data}'")


def _row(path: str) -> int:
    return int(path.rpartition("/")[2])
