"""Load the few-shot data that a configuration names."""

from peerdistill.data.arrays import GivenImages
from peerdistill.data.dataset import normalised_by
from peerdistill.data.source import LoadRequest
from peerdistill.fewshot.config import FewShotData
from peerdistill.fewshot.dataset import FewShotDataset, assemble


def load_few_shot(
    config: FewShotData, *, download: bool = False, skip_unreadable: bool = False, given: GivenImages | None = None
) -> FewShotDataset:
    """Load the images that ``config`` names into memory, divided by classes.

    `peerdistill.fewshot.sources` describes the forms of ``config.data``.

    Args:
        config: The data options.
        download: Whether to download data that does not exist in ``config.root``.
        skip_unreadable: Whether to leave out unreadable pictures, and count them, instead of raising an error.
        given: The content of the npz files that ``config`` names; the files are not read.

    Raises:
        UserError: A value is out of range, or the data does not exist, is damaged or has the wrong form.
    """
    config.check()
    source = config.sources.find(config.data).load(LoadRequest(config, download, skip_unreadable, given))
    name = config.sources.title(config.data)
    data = assemble(name, source, rotations=config.rotations, trainval=config.trainval)
    return normalised_by(data, config.mean, config.std)
