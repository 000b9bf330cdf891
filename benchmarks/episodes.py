"""Few-shot training: drawing an episode, and a training step of each method.

    python benchmarks/episodes.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes about ten minutes on two CPU cores, and uses a GPU if there is one.

Axes: M peers, N images.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from measuring import DEVICE, give, header, parser, synchronise
from peerdistill import Cohort, methods
from peerdistill.data import Augmentation
from peerdistill.data.arrays import LabelledImages
from peerdistill.data.images.preprocess import fit
from peerdistill.data.images.reader import open_listed
from peerdistill.data.normaliser import Normaliser
from peerdistill.fewshot import EpisodeBatches, EpisodeConfig, EpisodeSampler, FewShotDataset, build_method
from peerdistill.fewshot.dataset import ClassSource, assemble
from peerdistill.fewshot.pictures import decode
from peerdistill.study.timing import median_seconds
from peerdistill.terms import Teacher
from peerdistill.training.config import OptimizerConfig
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.optimizers import make_optimizer
from training_step import update

EPISODES = EpisodeConfig(ways=60, shots=1, queries=5)
FILE_CLASSES, CLASSES, IMAGES_A_CLASS, SIDE, FILE_SIDE = 120, 4112, 20, 28, 105
PEERS = 4
WORKERS = 2
DRAWN_AT_ONCE = 20  # episodes in a timed round
STILL = Augmentation(crop_padding=0, flip=False)


def write_drawings(folder: Path) -> list[str]:
    """Write drawings like Omniglot's files: black strokes on white, one bit per pixel."""
    draws = np.random.default_rng(0)
    files = []
    for drawing in range(FILE_CLASSES * IMAGES_A_CLASS):
        ink = np.zeros((FILE_SIDE, FILE_SIDE), dtype=bool)
        for row, column in draws.integers(0, FILE_SIDE - 12, (40, 2)):
            ink[row : row + 4, column : column + 12] = True
        files.append(str(folder / f"{drawing}.png"))
        Image.fromarray(~ink).save(files[-1])
    return files


def as_dataset(images: np.ndarray, classes: int) -> FewShotDataset:
    labels = np.arange(classes).repeat(IMAGES_A_CLASS)
    names = tuple(f"class{number}" for number in range(classes))
    return assemble("drawings", ClassSource(LabelledImages(images, labels, names), ("train",) * classes))


def resident(data: FewShotDataset, seed: int = 0) -> EpisodeBatches:
    return EpisodeBatches(
        data.train,
        EpisodeSampler(data.train, EPISODES.shape),
        Normaliser(data, DEVICE),
        episodes_per_epoch=DRAWN_AT_ONCE,
        augmentation=STILL,
        seed=seed,
        device=DEVICE,
    )


class FromFiles(Dataset):
    """The usual way: each access reads, resizes and converts an image."""

    def __init__(self, files: list[str], data: FewShotDataset):
        self.files, self.labels = files, data.train.labels.tolist()
        self.mean, self.std = data.mean[0], data.std[0]

    def __getitem__(self, row: int) -> tuple[Tensor, int, int]:
        square = fit(open_listed(self.files[row]), SIDE, 1, crop=1.0)
        image = torch.from_numpy(square).permute(2, 0, 1).float() / 255
        return (image - self.mean) / self.std, self.labels[row], row


class EpisodeRows:
    """Batch sampler with the rows of the same episodes."""

    def __init__(self, batches: EpisodeBatches):
        self.rows = [batch.indices.tolist() for batch in batches.epoch(0)]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)


def drawing(repeats: int) -> dict[str, float]:
    """Return milliseconds per episode of both ways, for the same episodes of the same drawings."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_drawings(Path(folder))
        images, _ = decode(files, open_listed, size=SIDE, channels=1, skip=False)
        data = as_dataset(images, FILE_CLASSES)
        batches = resident(data)
        loader = DataLoader(
            FromFiles(files, data), batch_sampler=EpisodeRows(batches), num_workers=WORKERS, persistent_workers=True
        )
        difference = max(
            (ours.images.cpu() - images).abs().max().item()
            for ours, (images, _, _) in zip(batches.epoch(0), loader, strict=True)
        )

        def from_tensor() -> None:
            list(batches.epoch(0))
            synchronise()

        def from_files() -> None:
            _ = [images.to(DEVICE) for images, _, _ in loader]
            synchronise()

        took = median_seconds({"tensor": from_tensor, "files": from_files}, repeats)
    return {
        "tensor_ms": 1e3 * took["tensor"] / DRAWN_AT_ONCE,
        "files_ms": 1e3 * took["files"] / DRAWN_AT_ONCE,
        "ratio": took["files"] / took["tensor"],
        "largest_difference": difference,
    }


class Row(NamedTuple):
    """A method with its sharing and number of peers."""

    name: str
    sharing: str
    peers: int

    @property
    def label(self) -> str:
        return f"{self.name}, {self.sharing}, {self.peers} peers" if self.peers > 1 else f"{self.name}, 1 peer"


def rows() -> list[Row]:
    """Return the network alone, the baseline in every setting, and each method in its default setting."""
    found = [Row("baseline", "network", 1)]
    found += [Row("baseline", sharing, PEERS) for sharing in ("network", "branch", "tree")]
    for name in methods.names():
        card = methods.find(name)
        if name != "baseline":
            found.append(Row(name, card.sharings[0], card.cohort.get("peers", PEERS)))
    return found


class Step:
    """A training step of a method on the next episode."""

    def __init__(self, row: Row, data: FewShotDataset):
        torch.manual_seed(0)
        card = methods.find(row.name)
        sizes = {"in_channels": 1, "image_size": SIDE}
        options = {"peers": row.peers, "sharing": row.sharing}
        self.cohort = Cohort("conv4", CLASSES, **{**options, **card.cohort, **sizes}).to(DEVICE)
        teacher = Teacher(Cohort("conv4", CLASSES, peers=1, sharing="network", **sizes)) if card.needs_teacher else None
        labels = data.train.labels
        self.method = build_method(row.name, self.cohort, EPISODES, train_labels=labels, teacher=teacher).to(DEVICE)
        self.cohort.to(memory_format=choose_memory_format("auto", self.cohort, DEVICE, "32-true"))
        parameters = [*self.cohort.parameters(), *self.method.parameters()]
        self.optimizer = make_optimizer([{"params": parameters}], OptimizerConfig("adam", weight_decay=0.0), lr=1e-3)
        self.episodes = self._forever(resident(data))

    def _forever(self, batches: EpisodeBatches):
        epoch = 0
        while True:
            yield from batches.epoch(epoch)
            epoch += 1

    def __call__(self) -> None:
        batch = next(self.episodes)
        total = self.method(self.cohort(batch.images), batch.labels, batch.indices).total
        update(total, self.cohort, self.method, self.optimizer)


def training(repeats: int) -> list[dict[str, float | str]]:
    images = np.random.default_rng(0).integers(0, 256, (CLASSES * IMAGES_A_CLASS, SIDE, SIDE, 1), dtype=np.uint8)
    data = as_dataset(images, CLASSES)
    steps = {row: Step(row, data) for row in rows()}
    took = median_seconds({row.label: step for row, step in steps.items()}, repeats)
    alone = took[rows()[0].label]
    found = []
    for row in rows():
        same = alone if row.peers == 1 else took[Row("baseline", row.sharing, PEERS).label]
        spent = took[row.label]
        found.append({"row": row.label, "s": spent, "to_alone": spent / alone, "to_baseline": spent / same})
    return found


def about(repeats: int) -> dict[str, str | int | float]:
    ways, shots, queries = EPISODES.shape
    return header(
        sizes=f"{ways}-way {shots}-shot, {queries} queries, {SIDE} x {SIDE}, conv4, M {PEERS}, "
        f"N {CLASSES * IMAGES_A_CLASS}, each method with its own defaults, float32",
        method=f"median of {repeats} alternating repeats after one untimed; "
        f"files: {FILE_SIDE} x {FILE_SIDE} PNG, DataLoader with {WORKERS} workers",
    )


def main() -> None:
    options = parser("Time of drawing episodes and of training steps on them.").parse_args()
    report = {
        "header": about(options.repeats),
        "drawing": drawing(options.repeats),
        "training": training(options.repeats),
    }
    give(report, options)


if __name__ == "__main__":
    main()
