"""Batches on the training device: normalised images, labels and the indices of the samples.

A training batch depends only on the seed, the epoch and the step: not on earlier batches, the number of workers, the
device or the global random state. A run that is resumed in the middle of an epoch therefore gets the same batches as
one that was never interrupted.

Several processes that train together share the images of each batch among them. Labels, indices and targets are small:
every process has those of the whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.augmentation.erasing import Erasing
from peerdistill.data.augmentation.mixing import Mixing
from peerdistill.data.config import SamplerName
from peerdistill.data.dataset import Dataset, Split
from peerdistill.data.loaders import image_loader
from peerdistill.data.normaliser import Normaliser, PixelStatistics
from peerdistill.data.order import EpochOrder, earlier_draws
from peerdistill.data.step import Step
from peerdistill.errors import UserError
from peerdistill.shares import WHOLE, Share


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples on the device."""

    images: Float32[Tensor, "own channels height width"]
    """Normalised: mean 0 and standard deviation 1 in each channel of the data set. The share of this process."""
    labels: Int64[Tensor, "batch"]
    indices: Int64[Tensor, "batch"]
    """Rows of the samples in their split, which are also their rows in a memory bank."""
    targets: Float32[Tensor, "mixed classes"] | None = None
    """Class distributions of the first samples, whose images are mixtures. None: no image of the batch is mixed.

    ``labels`` of a mixed sample is the class of its own image, which is only a part of the mixture.
    """


class TrainBatches:
    """Augmented batches of ``batch_size`` samples in random order; the last incomplete batch of an epoch is dropped."""

    def __init__(self, source: "_BatchSource", samples: int, batch_size: int, order: EpochOrder):
        self._source = source
        self._loaded = source.loaded(batch_size)
        self._samples = samples
        self._batch_size = batch_size
        self._order = order

    def close(self) -> None:
        """Stop the processes that make images. The next epoch starts new ones."""
        self._source.close()

    @property
    def steps_per_epoch(self) -> int:
        """Number of complete batches in an epoch."""
        return self._samples // self._batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` from step ``start``. Only one epoch can be active at a time."""
        assert 0 <= start <= self.steps_per_epoch
        order = self._order(epoch)
        parts = zip(order.split(self._batch_size), earlier_draws(order).split(self._batch_size), strict=True)
        steps = [Step(epoch, number, rows, earlier, self._loaded) for number, (rows, earlier) in enumerate(parts)]
        return self._source.batches(steps[start : self.steps_per_epoch])


class EvalBatches:
    """Samples in the order of their rows, without augmentation. Can be iterated repeatedly."""

    def __init__(self, source: "_BatchSource", samples: slice, batch_size: int):
        self._source = source
        rows = torch.arange(samples.start, samples.stop).split(batch_size)
        self._steps = [Step(0, number, rows_of_step) for number, rows_of_step in enumerate(rows)]

    def close(self) -> None:
        """Stop the processes that make images. The next iteration starts new ones."""
        self._source.close()

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Batch]:
        return self._source.batches(self._steps)


def train_batches(
    split: Split,
    dataset: Dataset,
    *,
    batch_size: int,
    augmentation: Augmentation | None,
    seed: int,
    device: str | torch.device,
    workers: int | None,
    sampler: SamplerName = "shuffle",
    share: Share = WHOLE,
) -> TrainBatches:
    """Return the training batches of ``split``.

    Args:
        split: Usually ``dataset.train``.
        dataset: The data set whose channel statistics normalise the images.
        batch_size: Number of samples in a batch, at most the number of samples of the split.
        augmentation: Augmentation of the images; None: the images are the same as in evaluation.
        seed: Seed of the order and the augmentation, at least 0.
        device: Device of the batches. Images of arrays are kept on it, unless their pixels are changed one by one.
        workers: Number of processes that make images: decode pictures of folders and, on a GPU, change the pixels of
            arrays. 0: this process does it; None: see :func:`peerdistill.data.loaders.workers_for`.
        sampler: How an epoch draws the samples, see :class:`peerdistill.data.order.EpochOrder`.
        share: The part of each batch whose images this process loads. The images are the same for any number of
            processes.

    Raises:
        UserError: ``batch_size`` is less than 1 or greater than the number of samples, or too small for mixing.
    """
    if not 1 <= batch_size <= len(split):
        raise UserError(f"batch_size must be from 1 to {len(split)}, the number of training images, found {batch_size}")
    source = _BatchSource(split, dataset, augmentation, seed, torch.device(device), workers, share)
    if augmentation is not None and augmentation.erasing > 0:
        source.erase = Erasing(augmentation.erasing, seed, torch.device(device))
    if augmentation is not None and augmentation.mix.is_on:
        source.mix = Mixing(augmentation.mix, len(dataset.class_names), batch_size, seed)
    return TrainBatches(source, len(split), batch_size, EpochOrder(split.labels, sampler, seed))


def eval_batches(
    split: Split,
    statistics: PixelStatistics,
    *,
    batch_size: int,
    device: str | torch.device,
    workers: int | None,
    share: Share = WHOLE,
) -> EvalBatches:
    """Return all samples of ``split`` in order, in batches of ``batch_size``; the last batch may be smaller.

    Args:
        split: The images.
        statistics: Channel statistics that normalise the images: a data set, or the card of a leader.
        batch_size: Number of samples in a batch.
        device: Device of the batches. Images of arrays are kept on it.
        workers: Number of processes that decode pictures of folders; 0: this process decodes them; None: as there.
        share: The part of the split whose samples are returned. No sample is in two shares.

    Raises:
        UserError: ``batch_size`` is less than 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, found {batch_size}")
    source = _BatchSource(split, statistics, None, 0, torch.device(device), workers)
    return EvalBatches(source, share.of(len(split)), batch_size)


class _BatchSource:
    """Maps the rows of steps to batches."""

    def __init__(
        self,
        split: Split,
        statistics: PixelStatistics,
        augmentation: Augmentation | None,
        seed: int,
        device: torch.device,
        workers: int | None,
        share: Share = WHOLE,
    ):
        self._loader = image_loader(split, augmentation, seed, device, workers)
        self._labels = split.labels.to(device)
        self._normalised = Normaliser(statistics, device)
        self.erase: Callable[[Tensor, Step], None] | None = None
        self.mix: Mixing | None = None
        self._share = share

    def close(self) -> None:
        self._loader.close()

    def loaded(self, batch_size: int) -> Int64[Tensor, " loaded"] | None:
        """Return the positions in a batch of the images that this process needs; None: all."""
        positions = self._share.positions(batch_size)
        return positions if positions is None or self.mix is None else self.mix.with_partners(positions)

    def batches(self, steps: Sequence[Step]) -> Iterator[Batch]:
        for step, images in zip(steps, self._loader.images(steps), strict=True):
            indices = step.rows.to(self._labels.device, non_blocking=True)
            labels, normalised = self._labels[indices], self._normalised(images)
            targets = None
            if self.erase is not None or self.mix is not None:
                normalised = _in_their_places(normalised, step)
                if self.erase is not None:
                    self.erase(normalised, step)
                if self.mix is not None:
                    targets = self.mix(normalised, labels, step)
                normalised = normalised[self._share.of(len(step.rows))]
            yield Batch(normalised, labels, indices, targets)


def _in_their_places(images: Tensor, step: Step) -> Tensor:
    """Return a batch with the loaded images at their positions and zeros elsewhere.

    What is drawn for the images of a batch then does not depend on which of them are loaded.
    """
    if step.loaded is None:
        return images
    whole = images.new_zeros(len(step.rows), *images.shape[1:])
    return whole.index_copy_(0, step.loaded.to(images.device, non_blocking=True), images)
