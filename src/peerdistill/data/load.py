"""Load the data that a configuration names."""

from collections.abc import Sequence
from dataclasses import replace

from peerdistill.data.arrays import GivenImages, labels_among
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, Split, normalised_by
from peerdistill.data.repeats import warn_about_repeats
from peerdistill.data.source import LoadRequest
from peerdistill.data.subset import subset_of
from peerdistill.errors import UserError


def load_dataset(
    config: DataConfig, *, download: bool = False, skip_unreadable: bool = False, given: GivenImages | None = None
) -> Dataset:
    """Load the images that ``config`` names, with a validation and a test split held out.

    The splits do not depend on the seed of a run, and no validation image is from the test set. `peerdistill.data.
    sources` describes the forms of ``config.data``. A warning counts held-out images that are training images too.

    Args:
        config: The data options.
        download: Whether to download data that does not exist in ``config.root``.
        skip_unreadable: Whether to leave out unreadable pictures of a folder, and count them, instead of raising an
            error.
        given: The content of the npz files that ``config`` names; the files are not read.

    Raises:
        UserError: A value is out of range, or the data does not exist, is damaged or has the wrong form.

    Example:
        >>> data = load_dataset(DataConfig("digits"))
        >>> len(data.class_names), data.train.images.shape[1:]
        (10, torch.Size([1, 8, 8]))
    """
    config.check()
    source = config.sources.find(config.data)
    found = source.load(LoadRequest(config, download, skip_unreadable, given))
    data = subset_of(normalised_by(found, config.mean, config.std), config.subset)
    if source.takes != "name":  # nobody can mend a public data set, and its numbers are compared as they are
        warn_about_repeats(data)
    return data


def load_images(config: DataConfig, class_names: Sequence[str], split: str | None = None) -> tuple[Split, str]:
    """Return images to evaluate a network on that was trained on other data.

    Of data with splits (a folder with a test folder, cifar10, npz files with ``test``), these are the images of
    ``split``, by default the test images; of other data all images.

    Args:
        config: The data options. For pictures they also decide the image size.
        class_names: The classes of the network. The data may lack some of them.
        split: "test" or "val".

    Returns:
        The images, and the name of their split or "all".

    Raises:
        UserError: The data does not exist or is damaged, lacks the split, or has a class that is not in
            ``class_names``.
    """
    config.check()
    source = config.sources.find(config.data)
    if source.load_for_evaluation is not None:
        return source.load_for_evaluation(config, class_names, split)
    data = load_dataset(config)
    images = data.val if split == "val" else data.test
    if images is None:
        raise UserError(f"'{config.data}' has no {split} images")
    labels = labels_among(class_names, data.class_names, images.labels.numpy(), config.data)
    return replace(images, labels=labels), split or "test"
