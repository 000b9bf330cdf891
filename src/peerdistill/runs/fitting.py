"""Options of a recipe that are too large for small data."""

import warnings
from dataclasses import replace

from peerdistill.config.config import Config
from peerdistill.errors import PeerdistillWarning

_BATCH_SIZE = "batch_size"


def with_fitting_batches(config: Config, images: int) -> Config:
    """Return the configuration with a batch size of at most ``images``, if nobody chose the batch size.

    A batch size that was chosen is not changed: one that is too large is an error of
    :func:`peerdistill.data.train_batches`.

    Args:
        config: Configuration of a run.
        images: Number of training images.
    """
    recipes = config.training.batch_size
    if recipes <= images or _BATCH_SIZE not in config.implied:
        return config
    text = f"{_BATCH_SIZE} is {images} instead of {recipes}: there are only {images} training images"
    warnings.warn(text, PeerdistillWarning, stacklevel=2)
    return replace(config, training=replace(config.training, batch_size=images))


def with_batches_of(config: Config, started: Config) -> Config:
    """Return the configuration of a resumed run: a batch size that nobody chose is that of the run."""
    if _BATCH_SIZE not in config.implied:
        return config
    return replace(config, training=replace(config.training, batch_size=started.training.batch_size))
