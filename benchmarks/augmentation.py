"""Time of a training batch with each option of augmentation, beside the plain batch with crops and flips.

    python benchmarks/augmentation.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch and takes a minute on one CPU core. Photographs are noise of their usual size, are
cached and are read by the process itself, so the figures are times of one core.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from measuring import DEVICE, give, header, parser, synchronise
from peerdistill.data import Augmentation, DataConfig, Dataset, MixConfig, load_dataset, train_batches
from peerdistill.data.dataset import ArraySplit
from peerdistill.study.timing import median_seconds

BATCH, CLASSES = 64, 10
ARRAY_SIZE, PHOTO_SIZE, EXTENT = 32, 224, (500, 375)
OPTIONS = {
    "plain": Augmentation(),
    "augment=randaugment": Augmentation(augment="randaugment"),
    "augment=trivialaugment": Augmentation(augment="trivialaugment"),
    "color_jitter=0.4": Augmentation(color_jitter=0.4),
    "erasing=0.5": Augmentation(erasing=0.5),
    "mix.mixup=0.2": Augmentation(mix=MixConfig(mixup=0.2)),
    "mix.cutmix=1": Augmentation(mix=MixConfig(cutmix=1.0)),
}


def arrays() -> Dataset:
    images = torch.randint(0, 256, (BATCH, 3, ARRAY_SIZE, ARRAY_SIZE), dtype=torch.uint8)
    split = ArraySplit(images, torch.arange(BATCH) % CLASSES)
    half = (0.5, 0.5, 0.5)
    names = tuple(map(str, range(CLASSES)))
    return Dataset("noise", names, 3, ARRAY_SIZE, 1.0, half, half, split, None, None, fingerprint="")


def photographs(folder: Path) -> Dataset:
    draws = np.random.default_rng(0)
    for number in range(BATCH + 1):
        file = folder / ("train" if number < BATCH else "test") / str(number % CLASSES) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draws.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize(EXTENT, Image.Resampling.BICUBIC).save(file)
    config = DataConfig(str(folder), image_size=PHOTO_SIZE, validation=0.0, cache=str(folder / "cache"))
    return load_dataset(config)


def timed(dataset: Dataset, repeats: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a batch by option, and their ratio to those of the plain batch."""

    def call(augmentation: Augmentation) -> Any:
        batches = train_batches(
            dataset.train, dataset, batch_size=BATCH, augmentation=augmentation, seed=0, device=DEVICE, workers=0
        )

        def load() -> None:
            for _ in batches.epoch(0):
                synchronise()

        return load

    took = median_seconds({name: call(augmentation) for name, augmentation in OPTIONS.items()}, repeats, burst_s=0.05)
    return {name: {"ms": 1e3 * found, "ratio": found / took["plain"]} for name, found in took.items()}


def main() -> None:
    options = parser("Time of a training batch with each option of augmentation.").parse_args()
    about = header(
        sizes=f"batch {BATCH}: arrays of {ARRAY_SIZE} pixels, photographs of {EXTENT} as images of {PHOTO_SIZE} pixels",
        method=f"median of {options.repeats} alternating rounds of 50 ms or more after one untimed",
    )
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "header": about,
            "arrays": timed(arrays(), options.repeats),
            "photographs": timed(photographs(Path(folder)), options.repeats),
        }
    give(report, options)


if __name__ == "__main__":
    main()
