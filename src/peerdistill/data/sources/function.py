"""Images that a function of the user's own code returns; ``test`` names a function for the test split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peerdistill.data.source import LoadRequest, Source

if TYPE_CHECKING:
    from peerdistill.data.config import DataConfig
    from peerdistill.data.dataset import ArraySplit, Dataset


def load(request: "LoadRequest[DataConfig]") -> "Dataset":
    """Return the images with their held-out splits."""
    from peerdistill.data.arrays import array_dataset
    from peerdistill.data.own_code import load_own, load_own_test

    config = request.config
    size = config.preprocessing.image_size
    source = load_own(config.data, size)
    test = None if config.test is None else load_own_test(config.test, source, config.data, size)
    return array_dataset(config.sources.title(config.data), source, test, config.validation)


def load_for_evaluation(
    config: "DataConfig", class_names: Sequence[str], split: str | None
) -> "tuple[ArraySplit, str]":
    """Return all images of the test function, or of the function if there is none."""
    from peerdistill.data.arrays import relabelled
    from peerdistill.data.own_code import load_own

    del split
    data, name = (config.data, "all") if config.test is None else (config.test, "test")
    return relabelled(load_own(data, config.preprocessing.image_size), class_names, config.data), name


SOURCE = Source(
    name="function",
    help="your own function, which returns images and labels",
    recipe="arrays",
    load=load,
    takes="function",
    options=frozenset({"test"}),
    load_for_evaluation=load_for_evaluation,
)
