"""A run's checkpoints on other images than those of its data."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from peerdistill.data import DataConfig, Dataset, eval_batches, load_dataset
from peerdistill.data.dataset import Split, contents
from peerdistill.data.sources import load_images
from peerdistill.errors import Note, UserError
from peerdistill.evaluation import Evaluation, evaluate
from peerdistill.experiment.build import check_device, has_grown, is_same_data
from peerdistill.experiment.class_task import EVALUATION_BATCH, ensemble_of
from peerdistill.experiment.restore import Which, restore
from peerdistill.experiment.run import Run


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Images with labels of a run's classes, on which nothing of the run was trained or chosen.

    Attributes:
        images: The images.
        split: Which of the data they are: "test", "val", or "all".
    """

    images: Split
    split: str


def other_images(run: Run, split: str | None = None) -> OtherImages | None:
    """Return the images in the place that ``run`` was opened with, None where they are those of the run itself.

    Data is the run's own where its content is the same, or where pictures were added to a folder since. Otherwise all
    its images are taken, or those of ``split`` where it has splits.

    Args:
        run: Opened with ``places``.
        split: "test" or "val".

    Raises:
        UserError: For data that is absent, or has a class that the run does not have.
    """
    config = run.config
    if not run.places or not isinstance(config.data, DataConfig):
        return None
    before = restore(run).state["notes"]["data"]
    data = _as_for_training(config.data)
    if data is not None and (is_same_data(before, data) or has_grown(before, data)):
        return None
    images, found = load_images(config.data, before["class_names"], split)
    _note(config.data.data, images, found, before)
    return OtherImages(images, found)


def _as_for_training(config: DataConfig) -> Dataset | None:
    """Return the data as a run would train on it, None where it can't: it may hold test images alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        try:
            return load_dataset(config, skip_unreadable=True)
        except UserError:
            return None


def _note(place: str, images: Split, found: str, before: dict[str, Any]) -> None:
    which = "all" if found == "all" else f"the {found} images:"
    text = f"evaluated on other images than the run's: {which} {len(images)} of {place}"
    if "contents" not in before:
        text += "; the run does not remember on which images it was trained, some of these may be among them"
    elif trained := np.isin(contents(images), before["contents"].numpy()).sum():
        text += f", {trained} of which the run was trained on"
    warnings.warn(text, Note, stacklevel=3)


def evaluate_on(run: Run, other: OtherImages, which: Which = "last", device: str = "cpu") -> Evaluation:
    """Return the accuracies of a run's checkpoint on other images, normalised as the run's own.

    Raises:
        UserError: Where checkpoint or device do not exist, or images in memory are not of the run's size.
    """
    check_device(device)
    restored = restore(run, which)
    images, card = other.images, restored.card
    expected = (card.channels, card.image_size, card.image_size)
    shape = getattr(images, "images", torch.empty(0, *expected)).shape[1:]
    if tuple(shape) != expected:
        raise UserError(f"the images of {run.config.data.data} must be of shape {expected}, found {tuple(shape)}")
    workers = getattr(run.config.data, "workers", 0)
    batches = eval_batches(images, card, batch_size=EVALUATION_BATCH, device=device, workers=workers)
    ensemble = ensemble_of(run.config, restored.cohort, restored.state)
    return evaluate(restored.cohort.to(device), ensemble.to(device), batches)
