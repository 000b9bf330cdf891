"""A run's checkpoints on the images of its data."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from peerdistill.data import Dataset
from peerdistill.data.dataset import ArraySplit
from peerdistill.errors import UserError, unknown_name
from peerdistill.evaluation import Evaluation
from peerdistill.experiment.build import check_device, check_same_data
from peerdistill.experiment.restore import Which, restore
from peerdistill.experiment.run import Run
from peerdistill.experiment.task import SPLITS, Task
from peerdistill.experiment.tasks import load_task


def sample_pictures(run: Run, count: int) -> tuple[UInt8[Tensor, "samples channels height width"], str]:
    """Return up to ``count`` pictures as a deployed leader sees them, evenly spread over a split, and its name.

    They are test pictures, where there are none validation pictures, and else training pictures.
    """
    data = load_data(run)
    splits = {"test": data.test, "validation": data.val, "training": data.train}
    name, images = next((name, split) for name, split in splits.items() if split is not None)
    rows = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    if isinstance(images, ArraySplit):
        return images.images[rows], name
    pixels = [images.squares.read(images.paths[row]) for row in rows.tolist()]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), name


def load_data(run: Run) -> Dataset:
    """Return the images of a run, without what could not be read."""
    return load_task(run.config, skip_unreadable=True).data


def evaluate_run(
    run: Run, which: Which = "last", split: str = "test", device: str = "cpu", *, task: Task | None = None
) -> Evaluation:
    """Return the accuracies of a run's checkpoint on one of its splits, "test" or "val".

    ``task`` is that of the run, where several checkpoints are evaluated on its data.

    Raises:
        UserError: Where run, checkpoint, split or device do not exist, or the data has changed.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    check_device(device)
    restored = restore(run, which)
    task = load_task(run.config, skip_unreadable=True) if task is None else task
    exam = task.exam(split, torch.device(device))
    if exam is None:
        raise no_such_split(run, split)
    check_same_data(restored.state["notes"]["data"], task.data)
    ensemble = task.ensemble(restored.cohort, restored.state).to(device)
    return task.judge(restored.cohort.to(device), ensemble, exam)


def no_such_split(run: Run, split: str) -> UserError:
    """Return the error for a split without images."""
    other = next(name for name in SPLITS if name != split)
    return UserError(f"the data of {run.path} has no {split} split: choose --split {other}")
