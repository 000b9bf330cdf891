"""Data sets from folders that contain one folder of pictures per class."""

from collections.abc import Sequence
from pathlib import Path

from peerdistill.data.class_folders import find_splits
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, FolderSplit
from peerdistill.data.label_table import find_labelled
from peerdistill.data.layout import Pictures
from peerdistill.data.pictures import Store, picture_dataset, pictures_to_evaluate
from peerdistill.errors import UserError
from peerdistill.paths import user_path


def load_folder(folder: Path, config: DataConfig, *, skip_unreadable: bool) -> Dataset:
    """Return the pictures below ``folder``, divided into splits.

    If the folder contains ``train/``, its splits are ``train/``, ``val/`` and ``test/``, or other common names (see
    :func:`peerdistill.data.layout.split_called`). :func:`peerdistill.data.pictures.picture_dataset` describes how
    missing splits are held out, and when unreadable pictures are reported.

    If ``config.labels`` names a table, it lists the pictures, their classes and, optionally, their splits, see
    :func:`peerdistill.data.label_table.find_labelled`. The same rules apply, with its column ``split`` for the split
    folders.

    Raises:
        UserError: As :func:`peerdistill.data.pictures.picture_dataset`. Also for a folder or table that
            :func:`peerdistill.data.class_folders.find_splits` or :func:`peerdistill.data.label_table.find_labelled`
            refuses.
    """
    return picture_dataset(
        folder.resolve().name, _find(folder, config), Store(folder), config, skip_unreadable=skip_unreadable
    )


def load_folder_images(
    folder: Path, config: DataConfig, class_names: Sequence[str], split: str | None
) -> tuple[FolderSplit, str]:
    """Return pictures for the evaluation of a network that was trained on other ones.

    Of a folder with splits, these are the pictures of ``split``, by default of the first existing one of "test", "val"
    and "train". Of a folder of class folders, these are all pictures; one class is enough. Unreadable pictures are left
    out with a warning.

    Args:
        folder: The folder.
        config: Preprocessing and cache.
        class_names: The classes of the network. The folder may lack some of them; a warning says so.
        split: "test" or "val".

    Returns:
        The pictures, and the name of their split or "all".

    Raises:
        UserError: As :func:`load_folder`, a missing split, or a class that is not one of ``class_names``.
    """
    found = _find(folder, config, to_train=False)
    if split is not None and split not in found and found.keys() != {"train"}:
        what = f"'{folder}' has no {split} folder" if config.labels is None else f"'{config.labels}' has no {split} row"
        raise UserError(f"{what}: it has {' and '.join(found)}")
    return pictures_to_evaluate(found, Store(folder), config, class_names, split)


def _find(folder: Path, config: DataConfig, *, to_train: bool = True) -> dict[str, Pictures]:
    """Return the pictures of each split, from the class folders or from the table of labels."""
    if config.labels is None:
        return find_splits(folder, to_train=to_train)
    return find_labelled(user_path(config.labels, "labels"), folder, to_train=to_train)
