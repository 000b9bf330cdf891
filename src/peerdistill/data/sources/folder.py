"""A folder of class folders, of ``train/``, ``val/`` and ``test/`` with class folders inside, or one with a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source
from peerdistill.paths import user_path

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import Dataset, FolderSplit


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the pictures of the folder, divided into splits."""
    from peerdistill.data.folders import load_folder

    config = request.config
    return load_folder(user_path(config.data, "data"), config, skip_unreadable=request.skip_unreadable)


def load_for_evaluation(
    config: "DataConfig", class_names: Sequence[str], split: str | None
) -> "tuple[FolderSplit, str]":
    """Return the pictures of a split, or all pictures of a folder without splits."""
    from peerdistill.data.folders import load_folder_images

    return load_folder_images(user_path(config.data, "data"), config, class_names, split)


SOURCE = Source(
    name="folder",
    help="a folder of class folders",
    recipe="folder",
    load=load,
    takes="path",
    options=frozenset({"labels"}),
    of_pictures=True,
    load_for_evaluation=load_for_evaluation,
)
