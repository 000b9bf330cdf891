"""A data set of the library ``datasets``: a name on the Hugging Face Hub, or a folder, such as one of Parquet files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import Dataset, FolderSplit


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the pictures of the data set, downloaded if requested."""
    from peerdistill.data.hugging_face import load_hugging_face

    return load_hugging_face(request.config, download=request.download, skip_unreadable=request.skip_unreadable)


def load_for_evaluation(
    config: "DataConfig", class_names: Sequence[str], split: str | None
) -> "tuple[FolderSplit, str]":
    """Return the pictures of a split, or all pictures of a data set without splits."""
    from peerdistill.data.hugging_face import load_hugging_face_to_evaluate

    return load_hugging_face_to_evaluate(config, class_names, split)


SOURCE = Source(
    name="hf",
    help="a data set of the Hugging Face Hub, or a folder of Parquet files; needs the package datasets",
    recipe="folder",
    load=load,
    takes="hub",
    options=frozenset({"label_column"}),
    of_pictures=True,
    load_for_evaluation=load_for_evaluation,
)
