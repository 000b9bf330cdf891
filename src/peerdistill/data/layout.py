"""Find splits, classes and pictures among paths; the same rules for folders, archives and examples.

These are functions of strings. Paths are relative to the source, in POSIX form; the path of a folder ends with "/".
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from os.path import isabs
from pathlib import PurePath, PurePosixPath

from peerdistill.data.images.decode import picture_formats, picture_suffixes
from peerdistill.errors import UserError, some_of

_SPLIT_WORDS = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validation", "validate", "dev", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
_UNCLEAR_WORDS = ("eval", "evaluation", "holdout", "heldout")
_ENDINGS = ("", "set", "split", "data", "images", "imgs", "pictures", "photos")
_SPLIT_OF = {word + end: split for split, words in _SPLIT_WORDS.items() for word in words for end in _ENDINGS}
_UNCLEAR = {word + end for word in _UNCLEAR_WORDS for end in _ENDINGS}

# Files and folders that systems and programs create, besides names with a leading dot. Compared without case.
_SIDECARS = frozenset(
    {
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),
        *("lost+found", "__pycache__", "picasa.ini", "zbthumbnail.info"),
    }
)
# Suffixes of files that are not pictures: there is no note about them.
_TEXTS = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log"),
    *(".ini", ".cfg", ".db", ".py", ".sh", ".url", ".lnk", ".md5", ".sha1", ".sha256", ".aae", ".xmp", ".thm"),
)
_DEEPEST = 64


@dataclass(frozen=True)
class Pictures:
    """The pictures in the class folders of one folder."""

    folder: PurePath
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    """Paths below the folder, ``class/.../file``, in POSIX form; with ``classes`` any paths, also absolute ones."""
    empty: tuple[str, ...] = ()
    """Class folders without a picture; only in splits that are not for training."""
    classes: tuple[str, ...] | None = None
    """The class of each file; None: the first folder of its path."""
    source: str = ""
    """What messages call these pictures; by default the folder."""

    @property
    def shown(self) -> str:
        """What messages call these pictures."""
        return self.source or f"'{self.folder}'"

    def where(self, chosen: Iterable[bool]) -> "Pictures":
        """Return the chosen files, with all classes."""
        is_in = list(chosen)
        assert len(is_in) == len(self.files)
        classes = None if self.classes is None else tuple(compress(self.classes, is_in))
        return replace(self, files=tuple(compress(self.files, is_in)), classes=classes)

    def paths(self) -> tuple[str, ...]:
        """Return the paths of the files."""
        start = f"{self.folder}/" if str(self.folder) != "." else ""
        return tuple(file if isabs(file) else start + file for file in self.files)  # noqa: PTH117 (a million)

    def labels(self) -> list[int]:
        """Return the label of each file, a row of ``class_names``."""
        label_of = {name: label for label, name in enumerate(self.class_names)}
        if self.classes is not None:
            return [label_of[name] for name in self.classes]
        return [label_of[file.partition("/")[0]] for file in self.files]


@dataclass(frozen=True)
class Layout:
    """The splits, classes and pictures of a source."""

    splits: dict[str, Pictures]
    """"train" and, if the source has such splits, "val" and "test"; their folders are relative to the source."""
    notes: tuple[str, ...] = ()
    """A sentence for each kind of file that is not used although the user may have meant it to be."""


@dataclass
class _Folder:
    path: str
    """Path relative to the source, with a trailing "/"; empty for the source itself."""
    pictures: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: dict[str, "_Folder"] = field(default_factory=dict)

    def below(self) -> Iterator["_Folder"]:
        """Yield this folder and all folders below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.below()

    def holds_pictures(self) -> bool:
        return any(folder.pictures for folder in self.below())


def is_picture(name: str) -> bool:
    """Return whether a file counts as a picture, by its name."""
    return name.lower().endswith(picture_suffixes()) and not is_sidecar(name)


def is_sidecar(name: str) -> bool:
    """Return whether a file or folder is hidden, or was created by a system or program for its own use."""
    return name.startswith(".") or name.casefold() in _SIDECARS


def split_called(name: str) -> str | None:
    """Return "train", "val" or "test" for the name of a split folder, otherwise None.

    Case, "-", "_", "." and spaces are ignored. Synonyms such as "training", "valid", "dev" and "testing" are accepted,
    and endings as in "train_set" or "test-images".

    Example:
        >>> split_called("Train_Images"), split_called("valid"), split_called("cats")
        ('train', 'val', None)
    """
    return _SPLIT_OF.get(_plain(name))


def find_splits(paths: Iterable[str], source: str, *, to_train: bool = True) -> Layout:
    """Return the pictures of each split.

    The source contains class folders, or split folders with class folders inside. Both may be inside a single outer
    folder, as in an archive that was packed with its folder. A class may itself be called "train" or "test": folders
    are splits if all of them have names of splits, or if the training folder contains no picture directly.

    Args:
        paths: Paths of files and of folders. Folders are needed only if they are empty.
        source: Name of the source in error messages.
        to_train: Whether the pictures are for training. Otherwise one class is enough, and classes may be empty.

    Raises:
        UserError: There are no class folders, training has fewer than two or an empty one, there are splits but none
            for training, two folders are the same split, or folders look like splits but have other names.
    """
    at = _looked_through(_tree(paths, source))
    found = _split_folders(at, source)
    if found is None:
        _check_not_splits(at, source)
        found = {"train": at}
    else:
        training = _looked_through(found["train"])
        found = {split: _looked_through(folder, classes=training.folders) for split, folder in found.items()}
    splits = {
        split: _classes(folder, source, is_training=to_train and split == "train") for split, folder in found.items()
    }
    return Layout(splits, tuple(_notes(at, found, source)))


def _tree(paths: Iterable[str], source: str) -> _Folder:
    root = _Folder("")
    known: dict[str, _Folder | None] = {"": root}  # None: ignored
    for path in sorted(paths):
        parent, _, name = path.rpartition("/")
        folder = known.get(parent)
        if folder is None and parent not in known:
            folder = _made(parent, known, source)
        if folder is None or not name or is_sidecar(name):
            continue
        (folder.pictures if is_picture(name) else folder.others).append(name)
    return root


def _made(path: str, known: dict[str, _Folder | None], source: str) -> _Folder | None:
    names = path.split("/")
    if len(names) > _DEEPEST:
        raise UserError(f"'{source}' has more than {_DEEPEST} levels of folders: '{path[:100]}...'")
    for depth, name in enumerate(names):
        inside = "/".join(names[: depth + 1])
        if inside in known:
            continue
        parent = known["/".join(names[:depth])]
        if parent is None or is_sidecar(name):
            known[inside] = None
        else:
            known[inside] = parent.folders[name] = _Folder(f"{inside}/")
    return known[path]


def _looked_through(folder: _Folder, classes: Collection[str] = ()) -> _Folder:
    """Descend through folders that contain nothing but a single folder.

    A folder whose name is in ``classes`` is a class, even if it is the only one.
    """
    while len(folder.folders) == 1 and not folder.pictures:
        (name, inside), *_ = folder.folders.items()
        is_split = split_called(name) is not None and "train" not in map(split_called, inside.folders)
        if is_split or name in classes or inside.pictures or not inside.folders:
            break
        folder = inside
    return folder


def _split_folders(at: _Folder, source: str) -> dict[str, _Folder] | None:
    """Return the split folders, None if the folders are classes."""
    called: dict[str, list[str]] = {}
    for name in sorted(at.folders):
        split = split_called(name)
        if split is not None:
            called.setdefault(split, []).append(name)
    are_all = bool(at.folders) and sum(map(len, called.values())) == len(at.folders)
    training = called.get("train", ())
    if not are_all and not any(_is_split(at.folders[name], len(called)) for name in training):
        return None
    where = _shown(source, at)
    if not training:
        raise UserError(f"{where} has the folders {' and '.join(sorted(at.folders))} but no train folder")
    for split, names in called.items():
        if len(names) > 1:
            kind = {"train": "training", "val": "validation"}.get(split, split)
            raise UserError(f"{where} has the folders {' and '.join(names)}: only one {kind} folder is allowed")
    unclear = [name for name in at.folders if _plain(name) in _UNCLEAR]
    if unclear:
        raise UserError(f"{where} has the folders {unclear[0]} and {training[0]}: rename {unclear[0]} to val or test")
    return {split: at.folders[called[split][0]] for split in _SPLIT_WORDS if split in called}


def _is_split(training: _Folder, splits: int) -> bool:
    """Return whether a folder called "train" is a split. A class of that name contains pictures directly."""
    return not training.pictures or (splits > 1 and any(one.holds_pictures() for one in training.folders.values()))


def _check_not_splits(at: _Folder, source: str) -> None:
    """Raise UserError if all folders contain the same folders and no pictures directly: they are not classes."""
    folders = list(at.folders.values())
    if len(folders) < 2 or any(folder.pictures for folder in folders):
        return
    inside = [{name for name, one in folder.folders.items() if one.holds_pictures()} for folder in folders]
    common = sorted(set.intersection(*inside))
    if any(split_called(name) for name in common):
        raise UserError(
            f"every folder in {_shown(source, at)} contains {' and '.join(common)}: put the class folders into train, "
            "val and test folders, not the other way round"
        )
    if len(common) > 1:
        raise UserError(
            f"{some_of(sorted(at.folders))} in {_shown(source, at)} all contain the same folders ({some_of(common)}) "
            "and no pictures: rename them to train, val and test if they are splits, or choose one of them as data"
        )


def _classes(folder: _Folder, source: str, *, is_training: bool) -> Pictures:
    where = _shown(source, folder)
    if not folder.folders:
        raise UserError(f"{where} has no class folders: put the pictures of each class into a folder")
    if is_training and len(folder.folders) == 1:
        raise UserError(
            f"{where} has only one class folder, '{next(iter(folder.folders))}': training needs at least two"
        )
    names, empty, files = [], [], []
    for name in sorted(folder.folders):
        members = sorted(_pictures_below(folder.folders[name], len(folder.path)))
        if members:
            _check_text(name, where)
            names.append(name)
            files += members
        elif is_training:
            shown = _shown(source, folder.folders[name])
            raise UserError(f"class folder {shown} has no pictures ({', '.join(picture_formats())})")
        else:
            empty.append(name)
    if not names:
        raise UserError(f"{where} has no class folder with pictures")
    return Pictures(PurePosixPath(folder.path), tuple(names), tuple(files), tuple(empty))


def _pictures_below(folder: _Folder, start: int) -> Iterator[str]:
    for inside in folder.below():
        path = inside.path[start:]
        yield from (path + name for name in inside.pictures)


def _check_text(name: str, where: str) -> None:
    """Raise UserError for a class name that can't be encoded as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = ascii(name.encode("utf-8", "surrogateescape"))[1:]
        raise UserError(f"the name of the class folder {shown} in {where} is not UTF-8: rename it") from None


def _notes(at: _Folder, splits: dict[str, _Folder], source: str) -> Iterator[str]:
    used = list(splits.values())
    if at not in used:
        beside = {name: one for name, one in at.folders.items() if split_called(name) is None}
        ignored = [name for name, one in beside.items() if one.holds_pictures()]
        if ignored:
            yield f"{some_of(sorted(ignored))} in {_shown(source, at)}, beside the split folders: not used"
        used = [at, *used]
    loose = [folder.path + name for folder in used for name in folder.pictures]
    if loose:
        yield f"{_count(loose, 'picture')} of '{source}' outside of class folders: not used ({some_of(loose)})"
    others = [
        inside.path + name
        for folder in splits.values()
        for one in folder.folders.values()
        for inside in one.below()
        for name in inside.others
        if not name.lower().endswith(_TEXTS)
    ]
    if others:
        kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in others)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        yield (
            f"{_count(others, 'file')} of '{source}' with an unsupported format: not used "
            f"({counted}; the first is '{min(others)}')"
        )


def _count(things: Sequence[str], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


def _shown(source: str, folder: _Folder) -> str:
    return f"'{source}/{folder.path.rstrip('/')}'" if folder.path else f"'{source}'"


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.casefold())
