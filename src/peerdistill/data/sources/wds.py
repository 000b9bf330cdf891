"""Tar files of WebDataset: pictures with a file ``.cls`` each. Files or folders of them, separated by commas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerdistill.data.data_spec import named_files
from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import Dataset, FolderSplit


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the pictures of the shards, divided into splits."""
    from peerdistill.data.shards import load_shards

    config = request.config
    files, title = named_files("data", config.data), config.sources.title(config.data)
    return load_shards(files, title, config, skip_unreadable=request.skip_unreadable)


def load_for_evaluation(
    config: "DataConfig", class_names: Sequence[str], split: str | None
) -> "tuple[FolderSplit, str]":
    """Return the pictures of a split, or all pictures of shards without splits."""
    from peerdistill.data.shards import load_shards_to_evaluate

    return load_shards_to_evaluate(named_files("data", config.data), config, class_names, split)


SOURCE = Source(
    name="wds",
    help="tar shards of WebDataset, or folders of them",
    recipe="folder",
    load=load,
    takes="files",
    of_pictures=True,
    load_for_evaluation=load_for_evaluation,
)
