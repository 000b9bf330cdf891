"""How a split's images reach the device as bytes: gathered from a resident set, or decoded from files."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from peerdistill.data.augmentation import Augmentation, RandomCrops, random_resized_square
from peerdistill.data.dataset import ArraySplit, FolderSplit
from peerdistill.data.randomness import keyed_generator, keyed_seed
from peerdistill.errors import UserError

Images = UInt8[Tensor, "batch channels height width"]

AUGMENTATION_DRAWS = 1
"""First number of the keys of augmentation's draws, which keeps them apart from those of the order."""


class Step(NamedTuple):
    """The samples of one batch, and when it is due."""

    epoch: int
    number: int
    """Within the epoch, from 0."""
    rows: Int64[Tensor, "batch"]


class ArrayFeed:
    """Images of an `ArraySplit` that live on the device."""

    def __init__(self, split: ArraySplit, augmentation: Augmentation | None, seed: int, device: torch.device):
        images = split.images.to(device)

        def as_they_are(step: Step) -> Images:
            return images.index_select(0, step.rows.to(device, non_blocking=True))

        self._images_of: Callable[[Step], Images] = as_they_are
        if augmentation is not None and (augmentation.crop_padding or augmentation.flip):
            crops = RandomCrops(images, augmentation.crop_padding, augmentation.flip)
            self._images_of = lambda step: crops.fetch(
                step.rows, keyed_generator(AUGMENTATION_DRAWS, seed, step.epoch, step.number)
            )

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step's rows."""
        return map(self._images_of, steps)


class FolderFeed:
    """Pictures of a `FolderSplit`, decoded in worker processes that outlive an epoch."""

    def __init__(
        self, split: FolderSplit, augmentation: Augmentation | None, seed: int, device: torch.device, workers: int
    ):
        self._device = device
        self._plan = _Plan()
        self._loader = DataLoader(
            _DecodedPictures(split, augmentation, seed),
            batch_sampler=self._plan,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_stack,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # by default every epoch would draw from the global one
        )

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the pictures of each step's rows."""
        self._plan.steps = steps
        for stacked in self._loader:
            if isinstance(stacked, UserError):
                # A new error: this frame holds ``stacked``, so raising it would tie frame and loader into a cycle of
                # garbage, and Python's way of freeing one makes the loader wait ten seconds for its workers.
                raise UserError(str(stacked))
            # The workers serve one iteration at a time: a newer one has taken the batches that were to come.
            assert self._plan.steps is steps, "an epoch of these batches was begun while another was under way"
            yield stacked.to(self._device, non_blocking=True)


class _Plan:
    """Batch sampler of one epoch: lists of (epoch, row)."""

    steps: Sequence[Step] = ()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            yield [(step.epoch, row) for row in step.rows.tolist()]


class _DecodedPictures(TorchDataset):
    """Runs in the workers: from (epoch, row) to bytes, or to the error that names the bad picture.

    An error is handed over, not raised: a worker would bury its sentence in a traceback.
    """

    def __init__(self, split: FolderSplit, augmentation: Augmentation | None, seed: int):
        self._split = split
        self._augmentation = augmentation
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> UInt8[Tensor, "channels size size"] | UserError:
        epoch, row = key
        try:
            return self._square(epoch, row)
        except UserError as error:
            return error

    def _square(self, epoch: int, row: int) -> UInt8[Tensor, "channels size size"]:
        split = self._split
        if self._augmentation is None:
            return torch.from_numpy(split.squares.read(split.paths[row]).transpose(2, 0, 1).copy())
        draws = keyed_seed(AUGMENTATION_DRAWS, self._seed, epoch, row)
        return random_resized_square(split.shrunk.read(split.paths[row]), split.image_size, self._augmentation, draws)


def _stack(pictures: list[Tensor | UserError]) -> Images | UserError:
    decoded = []
    for picture in pictures:
        if isinstance(picture, UserError):
            return picture
        decoded.append(picture)
    return torch.stack(decoded)
