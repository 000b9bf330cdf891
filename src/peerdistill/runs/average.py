"""The average of the peers of a run."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.data import Dataset, train_batches
from peerdistill.deploy.average import average_of_peers
from peerdistill.runs.build import check_same_data
from peerdistill.runs.restore import Restored
from peerdistill.runs.run import Run

BATCH = 256
"""Number of training images in a batch that estimates statistics of batch normalisation."""

BATCHES = 40
"""Most batches that do."""


def average_of(run: Run, restored: Restored, data: Dataset, device: str | torch.device = "cpu") -> nn.Module:
    """Return the average of the peers of a checkpoint, see :func:`peerdistill.deploy.average.average_of_peers`.

    The statistics of batch normalisation are estimated on up to 10,240 training images, drawn with the seed of the run.
    They are prepared as for evaluation, not augmented: these are the pictures that a deployed network gets.

    Args:
        run: The run.
        restored: One of its checkpoints; its cohort is moved to ``device``.
        data: The data that the run was trained on.
        device: Where the images are run, and where the average is.

    Raises:
        UserError: The peers have different backbones, or the data have changed since the run was trained.

    Example:
        .. code-block:: python

            run = pdl.Run("runs/photos")
            average = runs.average_of(run, runs.restore(run), runs.load_data(run))  # takes normalised images
            runs.evaluator_of(run).average("last").top1
    """
    check_same_data(restored.state["notes"]["data"], data)
    return average_of_peers(restored.cohort.to(device), _training_images(run, data, device))


def _training_images(
    run: Run, data: Dataset, device: str | torch.device
) -> Iterator[Float[Tensor, "batch channels height width"]]:
    config = run.config
    batches = train_batches(
        data.train,
        data,
        batch_size=min(BATCH, len(data.train)),
        augmentation=None,
        seed=config.training.seed,
        device=device,
        workers=getattr(config.data, "workers", 0),
    )
    with closing(batches):
        for batch in islice(batches.epoch(0), BATCHES):
            yield batch.images
