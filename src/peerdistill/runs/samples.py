"""Pictures of the data of a run, as a deployed leader receives them."""

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from peerdistill.data import Dataset
from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.rng import Draws, keyed_generator
from peerdistill.runs.build import check_same_data
from peerdistill.runs.restore import Restored
from peerdistill.runs.run import Run
from peerdistill.runs.tasks import load_task_of

CALIBRATION_PICTURES = 256
"""Most training pictures that calibrate an int8 leader."""


def sample_pictures(
    run: Run, count: int, *, data: Dataset | None = None
) -> tuple[UInt8[Tensor, "samples channels height width"], str]:
    """Return pictures as a deployed leader receives them, evenly spaced over a split, and the name of the split.

    Args:
        run: The run.
        count: Most pictures to return.
        data: Data of the run, if they are loaded.

    Returns:
        Pictures of the test split; without one of the validation split, and else of the training split.
    """
    data = load_data(run) if data is None else data
    splits = {"test": data.test, "validation": data.val, "training": data.train}
    name, images = next((name, split) for name, split in splits.items() if split is not None)
    rows = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    return as_deployed(images, rows), name


def calibration_pictures(run: Run, restored: Restored, data: Dataset) -> UInt8[Tensor, "samples channels height width"]:
    """Return up to 256 training pictures as a deployed leader receives them, drawn with the seed of the run.

    Args:
        run: The run.
        restored: One of its checkpoints.
        data: Data of the run.

    Raises:
        UserError: The data have changed since the run was trained.
    """
    check_same_data(restored.state["notes"]["data"], data)
    draws = keyed_generator(Draws.CALIBRATION, run.config.training.seed)
    rows = torch.randperm(len(data.train), generator=draws)[:CALIBRATION_PICTURES]
    return as_deployed(data.train, rows)


def as_deployed(images: Split, rows: Int[Tensor, " samples"]) -> UInt8[Tensor, "samples channels height width"]:
    """Return images of a split as a deployed leader receives them: cropped and resized, but not normalised."""
    if isinstance(images, ArraySplit):
        return images.images[rows]
    if not len(rows):
        return torch.empty(0, images.channels, images.image_size, images.image_size, dtype=torch.uint8)
    pixels = [images.eval_reader.read(images.paths[row]) for row in rows.tolist()]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def load_data(run: Run) -> Dataset:
    """Return the data of a run; pictures that cannot be read are left out."""
    return load_task_of(run).data
