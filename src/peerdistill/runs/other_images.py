"""Which images a run can be evaluated on: those of its own data, or other images with its classes."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from peerdistill.data import DataConfig
from peerdistill.data.arrays import relabelled
from peerdistill.data.config import Interpolation
from peerdistill.data.dataset import Split
from peerdistill.data.images.preprocess import EvalCrop
from peerdistill.data.load import load_images
from peerdistill.data.python_images import labelled_images
from peerdistill.deploy import LeaderCard
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.runs.build import has_grown, is_same_data, trained_among
from peerdistill.runs.restore import load_state
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Images with the classes of a run that are not of its data.

    Attributes:
        images: The images.
        split: Which part of the other data they are: "test", "val" or "all".
        card: What a deployed leader of the run must know.
        name: What error messages call them.
    """

    images: Split
    split: str
    card: LeaderCard
    name: str


def images_of(run: Run, split: str | None = None) -> Task | OtherImages:
    """Return what a run can be evaluated on: its task, or other images in the place that it was opened with.

    Data belong to the run if their content is the same, or if pictures were added to a folder since. Of other data, all
    images are used, or those of ``split`` if they have splits.

    Args:
        run: The run; a run that learns from episodes is evaluated on its own data only.
        split: "test" or "val".

    Raises:
        UserError: The data are missing, or have a class that the run does not have.
    """
    if not run.places or not isinstance(run.config.data, DataConfig):
        return load_task_of(run)
    notes = load_state(run)[0]["notes"]
    before = notes["data"]
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", PeerdistillWarning)
        task = _task_in_place(run)
    if task is not None and (is_same_data(before, task.data) or has_grown(before, task.data)):
        for warning in raised:
            warnings.warn(warning.message, warning.category, stacklevel=2)
        return task
    # Warnings about training data do not matter for images that are not trained on.
    config = run.config.data
    images, found = load_images(config, before["class_names"], split)
    _warn(config.data, images, found, before)
    return OtherImages(images, found, LeaderCard.from_metadata(notes["card"], run.path), config.data)


def given_images_of(run: Run, data: Any, class_names: Sequence[str] | None = None) -> OtherImages:
    """Return images in memory to evaluate a run on, see :func:`peerdistill.data.python_images.labelled_images`.

    PIL images are prepared as the run's own pictures. Labels that are integers are rows of the class names, which by
    default are those of the data, or else those of the run.

    Args:
        run: A run that learns classes.
        data: The images.
        class_names: The names of their classes.

    Raises:
        UserError: They have another form, another size, or a class that the run does not have.
    """
    if not isinstance(run.config.data, DataConfig):
        raise UserError(f"{run.path} is a few-shot run: it is evaluated on episodes of its own data")
    notes = load_state(run)[0]["notes"]
    card, known = LeaderCard.from_metadata(notes["card"], run.path), notes["data"]["class_names"]
    prepare = EvalCrop(card.image_size, card.channels, card.crop, cast(Interpolation, card.interpolation))
    found = labelled_images("data", data, prepare, class_names=class_names, default_names=known)
    return OtherImages(relabelled(found, known, "data"), "all", card, name="data")


def _task_in_place(run: Run) -> Task | None:
    """Return the task of a run; None if its data cannot be trained on, for example because it has test images only."""
    try:
        return load_task_of(run)
    except UserError:
        return None


def _warn(place: str, images: Split, found: str, before: dict[str, Any]) -> None:
    which = "all" if found == "all" else f"the {found} images:"
    text = f"evaluated on other images than the run's: {which} {len(images)} of {place}"
    if "contents" not in before:
        text += "; the run does not record its training images, some of these may be among them"
    elif trained := trained_among(before, images):
        text += f", {trained} of which the run was trained on"
    warnings.warn(text, PeerdistillWarning, stacklevel=3)


def check_shape(other: OtherImages, card: LeaderCard) -> None:
    """Raise UserError if images in memory do not have the shape of the images of a run."""
    images = other.images
    expected = (card.channels, card.image_size, card.image_size)
    shape = getattr(images, "images", torch.empty(0, *expected)).shape[1:]
    if tuple(shape) != expected:
        raise UserError(f"the images of {other.name} must be of shape {expected}, found {tuple(shape)}")
