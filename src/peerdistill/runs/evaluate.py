"""A run's checkpoints on the images of its data."""

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from peerdistill.data import Dataset
from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.errors import PeerdistillWarning, UserError, unknown_name
from peerdistill.evaluation import Evaluation
from peerdistill.rng import Draws, keyed_generator
from peerdistill.runs.build import check_device, check_same_data, has_grown, is_same_split, trained_among
from peerdistill.runs.restore import Restored, Which, restore
from peerdistill.runs.run import Run
from peerdistill.runs.task import SPLITS, Task
from peerdistill.runs.tasks import load_task_of

CALIBRATION_PICTURES = 256
"""Training pictures that the ranges of an int8 leader are set on; all of them, where there are fewer."""


def sample_pictures(
    run: Run, count: int, *, data: Dataset | None = None
) -> tuple[UInt8[Tensor, "samples channels height width"], str]:
    """Return up to ``count`` pictures as a deployed leader sees them, evenly spread over a split, and its name.

    They are test pictures, where there are none validation pictures, and else training pictures. ``data`` are those of
    the run, where they have been loaded.
    """
    data = load_data(run) if data is None else data
    splits = {"test": data.test, "validation": data.val, "training": data.train}
    name, images = next((name, split) for name, split in splits.items() if split is not None)
    rows = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    return _as_deployed(images, rows), name


def calibration_pictures(run: Run, restored: Restored, data: Dataset) -> UInt8[Tensor, "samples channels height width"]:
    """Return up to 256 training pictures of a run as a deployed leader sees them, drawn by the run's seed.

    Args:
        run: The run.
        restored: One of its checkpoints.
        data: Its images.

    Raises:
        UserError: Where the data have changed since.
    """
    check_same_data(restored.state["notes"]["data"], data)
    draws = keyed_generator(Draws.CALIBRATION, run.config.training.seed)
    rows = torch.randperm(len(data.train), generator=draws)[:CALIBRATION_PICTURES]
    return _as_deployed(data.train, rows)


def _as_deployed(images: Split, rows: Int[Tensor, " samples"]) -> UInt8[Tensor, "samples channels height width"]:
    if isinstance(images, ArraySplit):
        return images.images[rows]
    pixels = [images.eval_reader.read(images.paths[row]) for row in rows.tolist()]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def load_data(run: Run) -> Dataset:
    """Return the images of a run, without what could not be read."""
    return load_task_of(run).data


def evaluate_run(
    run: Run, which: Which = "last", split: str | None = None, device: str = "cpu", *, task: Task | None = None
) -> Evaluation:
    """Return the accuracies of a run's checkpoint on one of its splits, "test" or "val".

    Without ``split`` it is "test", and "val" where the data has no test images, which a :class:`Note` says. ``task`` is
    that of the run, where several checkpoints are evaluated on its data.

    Raises:
        UserError: Where run, checkpoint, split or device do not exist, or the data has changed.
    """
    if split not in (None, *SPLITS):
        raise unknown_name("split", split, SPLITS)
    check_device(device)
    restored = restore(run, which)
    task = load_task_of(run) if task is None else task
    split = chosen_split(run, task.data, split)
    exam = task.exam(split, torch.device(device))
    if exam is None:
        raise no_such_split(run, split)
    check_evaluable(restored.state["notes"]["data"], task.data, split)
    note_other_images(restored.state["notes"]["data"], task.data, split)
    ensemble = task.ensemble(restored.cohort, restored.state).to(device)
    return task.judge(restored.cohort.to(device), ensemble, exam)


def check_evaluable(before: dict[str, Any], data: Dataset, split: str) -> None:
    """Raise UserError where ``data`` is not the run's; a folder to which pictures were added is, which is told."""
    if has_grown(before, data):
        then, now = before["train_images"], len(data.train)
        text = f"the data has grown: {now} images for training now, {then} then"
        if trained := trained_among(before, getattr(data, split)):
            text += f"; {trained} {split} images are copies of images that the run was trained on"
        warnings.warn(text, PeerdistillWarning, stacklevel=3)
    else:
        check_same_data(before, data)


def note_other_images(before: dict[str, Any], data: Dataset, split: str) -> None:
    """Say where the images of a split have changed since the run was started."""
    if not is_same_split(before, data, split):
        name = {"val": "validation"}.get(split, split)
        warnings.warn(
            f"the {name} images are not those that the run was started with", PeerdistillWarning, stacklevel=2
        )


def chosen_split(run: Run, data: Dataset, asked: str | None) -> str:
    """Return the split to evaluate on: ``asked``, by default "test", or "val" where the data has no test images.

    Raises:
        UserError: Where nothing was asked for and the data has neither.
    """
    if asked is not None:
        return asked
    if data.test is not None:
        return "test"
    if data.val is None:
        raise UserError(f"the data of {run.path} has neither test nor validation images to evaluate on")
    warnings.warn(
        f"the data of {run.path} has no test split: evaluated on validation images", PeerdistillWarning, stacklevel=3
    )
    return "val"


def no_such_split(run: Run, split: str) -> UserError:
    """Return the error for a split without images."""
    other = next(name for name in SPLITS if name != split)
    return UserError(f"the data of {run.path} has no {split} split: choose --split {other}")
