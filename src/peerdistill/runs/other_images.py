"""A run's checkpoints on other images than those of its data."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from peerdistill.data import DataConfig, eval_batches
from peerdistill.data.dataset import Split
from peerdistill.data.load import load_images
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.evaluation import Evaluation, evaluate
from peerdistill.runs.build import check_device, has_grown, is_same_data, trained_among
from peerdistill.runs.class_task import EVALUATION_BATCH, ensemble_of
from peerdistill.runs.restore import Which, load_state, restore
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Images with labels of a run's classes, on which nothing of the run was trained or chosen.

    Attributes:
        images: The images.
        split: Which of the data they are: "test", "val", or "all".
    """

    images: Split
    split: str


def images_of(run: Run, split: str | None = None) -> Task | OtherImages:
    """Return what ``run`` can be evaluated on: its task, or other images in the place that it was opened with.

    Data is the run's own where its content is the same, or where pictures were added to a folder since. Otherwise all
    its images are taken, or those of ``split`` where it has splits.

    Args:
        run: A run that learnt classes.
        split: "test" or "val".

    Raises:
        UserError: For data that is absent, or has a class that the run does not have.
    """
    if not run.places:
        return load_task_of(run)
    before = load_state(run)[0]["notes"]["data"]
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", PeerdistillWarning)
        task = _task_in_place(run)
    if task is not None and (is_same_data(before, task.data) or has_grown(before, task.data)):
        for note in notes:
            warnings.warn(note.message, note.category, stacklevel=2)
        return task
    # What was noted of training data does not matter for images that nothing is trained on.
    config = run.config.data
    assert isinstance(config, DataConfig)
    images, found = load_images(config, before["class_names"], split)
    _note(config.data, images, found, before)
    return OtherImages(images, found)


def _task_in_place(run: Run) -> Task | None:
    """Return the task of a run, None where nothing could be trained on its data: it may hold test images alone."""
    try:
        return load_task_of(run)
    except UserError:
        return None


def _note(place: str, images: Split, found: str, before: dict[str, Any]) -> None:
    which = "all" if found == "all" else f"the {found} images:"
    text = f"evaluated on other images than the run's: {which} {len(images)} of {place}"
    if "contents" not in before:
        text += "; the run does not remember on which images it was trained, some of these may be among them"
    elif trained := trained_among(before, images):
        text += f", {trained} of which the run was trained on"
    warnings.warn(text, PeerdistillWarning, stacklevel=3)


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
