"""Arrays in npz files; ``test`` names the files of the test split, otherwise a fifth of the images is held out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerdistill.data.data_spec import named_files
from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import ArraySplit, Dataset


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the arrays with their held-out splits."""
    from peerdistill.data.arrays import array_dataset
    from peerdistill.data.npz import load_npz

    config, given = request.config, request.given
    if given is not None:
        return array_dataset(config.sources.title(config.data), given.images, given.test, config.validation)
    test_files = None if config.test is None else named_files("test", config.test, prefix="npz")
    return load_npz(named_files("data", config.data), test_files, config.validation)


def load_for_evaluation(
    config: "DataConfig", class_names: Sequence[str], split: str | None
) -> "tuple[ArraySplit, str]":
    """Return all images of the test files, or of all files if there are none."""
    from peerdistill.data.arrays import relabelled
    from peerdistill.data.npz import read_arrays

    del split
    data, name = (config.data, "all") if config.test is None else (config.test, "test")
    return relabelled(read_arrays(named_files("data", data, prefix="npz")), class_names, config.data), name


SOURCE = Source(
    name="npz",
    help="arrays images, labels and class_names",
    recipe="arrays",
    load=load,
    takes="files",
    options=frozenset({"test"}),
    load_for_evaluation=load_for_evaluation,
)
