"""Loading the images of a step: arrays beside torchvision's transforms, photographs with and without a cache.

    python benchmarks/data.py [--photographs FOLDER] [--repeats 5] [--json FILE]

Needs only the package and PyTorch and takes some minutes on two CPU cores. FOLDER contains class folders of
photographs, from which 2,000 of one size are cut and written as JPEG files to a temporary folder; without it they are
noise of several scales. In both cases the files are in the system's page cache.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from measuring import DEVICE, MIB, give, header, parser, synchronise, target
from peerdistill import Cohort, methods
from peerdistill.data import Augmentation, DataConfig, Dataset, load_dataset, train_batches
from peerdistill.data.batches import Batch, TrainBatches
from peerdistill.data.dataset import ArraySplit, FolderSplit
from peerdistill.data.images.preprocess import Resized
from peerdistill.data.images.reader import picture_reader
from peerdistill.data.pictures import SHORTER
from peerdistill.study.timing import median_seconds, seconds
from training_step import BATCH, CLASSES, IMAGE_SIZE, SAMPLES, Step, draw_batch, update

BATCHES, WORKERS, PADDING = SAMPLES // BATCH, 2, 4
MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
PHOTOGRAPHS, EXTENT, PHOTO_CLASSES, PHOTO_SIZES = 2000, (500, 375), 5, (128, 224)
PHOTO_BACKBONE, PHOTO_BATCH = "resnet18", 16
EPOCHS = ("decoded", "first", "later")
# Targets: factor over torchvision, fraction of a step, and factor of later epochs over the first.
ARRAYS_TARGET, SHARE_TARGET, CACHE_TARGET = 20, 0.03, 5
_SYNTHETIC_SCALES = (4, 16, 64, 256)


def noise_dataset() -> Dataset:
    """Return random images with the size and number of CIFAR-100."""
    images = torch.randint(0, 256, (SAMPLES, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    split = ArraySplit(images, torch.arange(SAMPLES) % CLASSES)
    names = tuple(map(str, range(CLASSES)))
    return Dataset("noise", names, 3, IMAGE_SIZE, 1.0, MEAN, STD, split, None, None, fingerprint="")


class Transformed(torch.utils.data.Dataset):
    """The images as torchvision's CIFAR data set returns them."""

    def __init__(self, split: ArraySplit):
        self._images = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = split.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(IMAGE_SIZE, padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[row])), self._labels[row]


class RandomRows:
    """Batch sampler of the first batches of an epoch."""

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in torch.randperm(SAMPLES).split(BATCH)[:BATCHES])


def our_batches(dataset: Dataset, batch_size: int = BATCH, workers: int = WORKERS) -> TrainBatches:
    return train_batches(
        dataset.train,
        dataset,
        batch_size=batch_size,
        augmentation=Augmentation(PADDING),
        seed=0,
        device=DEVICE,
        workers=workers,
    )


def forever(batches: TrainBatches) -> Iterator[Batch]:
    for epoch in count():
        yield from batches.epoch(epoch)


def arrays(repeats: int) -> dict[str, float]:
    """Return images per second of both ways, and seconds of a batch and of training steps."""
    dataset = noise_dataset()
    batches = our_batches(dataset)
    loader = DataLoader(
        Transformed(dataset.train), batch_sampler=RandomRows(), num_workers=WORKERS, persistent_workers=True
    )

    def ours() -> None:
        for _ in batches.epoch(0):
            pass
        synchronise()

    def torchvisions() -> None:
        for images, labels in loader:
            images.to(DEVICE), labels.to(DEVICE)
        synchronise()

    took = median_seconds({"ours": ours, "torchvision": torchvisions}, repeats)
    images = BATCHES * BATCH
    return {
        "ours_images_per_second": images / took["ours"],
        "torchvision_images_per_second": images / took["torchvision"],
        "ratio": took["torchvision"] / took["ours"],
        **_beside_steps(dataset, repeats),
    }


def _beside_steps(dataset: Dataset, repeats: int) -> dict[str, float]:
    """Return seconds of a batch and of training steps, in turns, so that CPU caches are as in training."""
    batch = draw_batch()
    coming = forever(our_batches(dataset))
    runs: dict[str, Callable[[], object]] = {"batch": lambda: (next(coming), synchronise())}
    for name in ("mcl-okd", "baseline"):
        runs[name] = Step(name, batch)
    took = median_seconds(runs, repeats)
    return {
        "batch_seconds": took["batch"],
        "step_seconds": took["mcl-okd"],
        "baseline_step_seconds": took["baseline"],
        "share_of_step": took["batch"] / (took["batch"] + took["mcl-okd"]),
        "share_of_baseline_step": took["batch"] / (took["batch"] + took["baseline"]),
    }


def write_photographs(folder: Path, source: Path | None) -> int:
    """Write photographs of one size to class folders; return their mean size in bytes."""
    rng = np.random.default_rng(0)
    found = sorted(source.glob("*/*.jp*g")) if source else []
    sizes = []
    for number in range(PHOTOGRAPHS):
        picture = _cut(found[number % len(found)], rng) if found else _synthetic(rng)
        file = folder / f"class{number % PHOTO_CLASSES}" / f"{number:04}.jpg"
        file.parent.mkdir(exist_ok=True)
        picture.save(file, quality=90)
        sizes.append(file.stat().st_size)
    return round(sum(sizes) / len(sizes))


def _cut(file: Path, rng: np.random.Generator) -> Image.Image:
    """Return a random crop of a slightly rotated photograph, so that no two are the same."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB").rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR)
    width, height = picture.size
    part = rng.uniform(0.6, 0.9)
    left, top = rng.uniform(0, 1 - part, 2) * (width, height)
    return picture.resize(EXTENT, Image.Resampling.BICUBIC, (left, top, left + part * width, top + part * height))


def _synthetic(rng: np.random.Generator) -> Image.Image:
    pixels = np.full((EXTENT[1], EXTENT[0], 3), 128.0)
    for scale in _SYNTHETIC_SCALES:
        shape = (EXTENT[1] // scale + 2, EXTENT[0] // scale + 2, 3)
        coarse = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        pixels += (np.asarray(coarse.resize(EXTENT, Image.Resampling.BICUBIC), dtype=float) - 128) * scale / 200
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def photographs(size: int, folder: Path, kept: Path, repeats: int) -> dict[str, float]:
    """Return seconds of an epoch that decodes pictures, decodes and caches them (first), or reads the cache (later).

    Args:
        size: Image size.
        folder: The photographs.
        kept: An empty folder for caches.
        repeats: Number of timed rounds.
    """
    config = DataConfig(str(folder), image_size=size, validation=0.0, workers=WORKERS, cache=str(kept / "loaded"))
    first_load, second_load = (seconds(lambda: load_dataset(config)) for _ in range(2))
    dataset = load_dataset(config)

    def with_cache(cache: str) -> Dataset:
        assert isinstance(dataset.train, FolderSplit)
        reader = picture_reader(Resized(SHORTER * size, 3), folder, replace(config, cache=cache))
        return replace(dataset, train=replace(dataset.train, train_reader=reader))

    def epoch(batches: TrainBatches) -> None:
        for _ in batches.epoch(0):
            pass
        synchronise()

    empty = (str(kept / f"empty{number}") for number in count())
    decoding, keeping = our_batches(with_cache("off")), our_batches(dataset)
    runs = {
        "decoded": lambda: epoch(decoding),
        "first": lambda: epoch(our_batches(with_cache(next(empty)))),
        "later": lambda: epoch(keeping),
    }
    took = median_seconds(runs, repeats)
    return {
        "image_size": size,
        "images": keeping.steps_per_epoch * BATCH,
        "first_load_seconds": first_load,
        "second_load_seconds": second_load,
        **{f"{name}_epoch_seconds": value for name, value in took.items()},
        "cache_bytes": sum(file.stat().st_size for file in (kept / "loaded").rglob("pixels")),
        **_beside_photo_steps(dataset, with_cache("off"), repeats),
    }


def _beside_photo_steps(dataset: Dataset, uncached: Dataset, repeats: int) -> dict[str, float]:
    """Return seconds of a batch that the training process loads itself, and of a training step."""
    torch.manual_seed(0)
    cohort = Cohort(PHOTO_BACKBONE, PHOTO_CLASSES, 4, "branch").to(DEVICE)
    method = methods.build("mcl-okd", cohort, train_labels=dataset.train.labels).to(DEVICE)
    optimizer = torch.optim.SGD([*cohort.parameters(), *method.parameters()], lr=0.01)
    coming = {
        "cached": forever(our_batches(dataset, PHOTO_BATCH, 0)),
        "decoded": forever(our_batches(uncached, PHOTO_BATCH, 0)),
    }
    batch = next(coming["cached"])

    def step() -> None:
        total = method(cohort(batch.images), batch.labels, batch.indices).total
        update(total, cohort, method, optimizer)

    took = median_seconds(
        {"step": step, **{name: lambda made=made: next(made) for name, made in coming.items()}}, repeats
    )
    return {
        "step_seconds": took["step"],
        **{f"{name}_batch_seconds": took[name] for name in coming},
        **{f"{name}_share_of_step": took[name] / (took[name] + took["step"]) for name in coming},
    }


def measure(source: Path | None, repeats: int) -> dict:
    found = arrays(repeats)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photographs")
        folder.mkdir()
        mean_bytes = write_photographs(folder, source)
        rows = []
        for size in PHOTO_SIZES:
            with tempfile.TemporaryDirectory(dir=scratch) as kept:
                rows.append(photographs(size, folder, Path(kept), repeats))
    about = header(
        sizes=f"arrays: {SAMPLES} images of {IMAGE_SIZE} x {IMAGE_SIZE}, batch {BATCH}; photographs: {PHOTOGRAPHS} "
        f"{'cut from a folder' if source else 'made of noise'}, {EXTENT[0]} x {EXTENT[1]}, JPEG of "
        f"{mean_bytes / 1000:.0f} kB; {WORKERS} workers",
        method=f"median of {repeats} alternating repeats after one untimed, an epoch each; steps: "
        f"resnet32 (arrays) and {PHOTO_BACKBONE} with batch {PHOTO_BATCH} (photographs), 4 peers, branch, mcl-okd",
    )
    return {"header": about, **rows_of(found, rows)}


def rows_of(arrays: dict[str, float], photographs: list[dict[str, float]]) -> dict:
    """Return the figures in the units of the documentation, and beside their targets."""
    arrays = arrays | {
        "batch_ms": 1e3 * arrays["batch_seconds"],
        "ratio_target": target(arrays["ratio"], least=ARRAYS_TARGET),
        "share_target": target(arrays["share_of_step"], most=SHARE_TARGET),
    }
    return {"arrays": arrays, "photographs": [_photograph_row(row) for row in photographs], "shorter": SHORTER}


def _photograph_row(row: dict[str, float]) -> dict:
    ratio = row["first_epoch_seconds"] / row["later_epoch_seconds"]
    return row | {
        **{f"{name}_images_per_second": row["images"] / row[f"{name}_epoch_seconds"] for name in EPOCHS},
        **{f"{name}_ms": 1e3 * row[f"{name}_seconds"] for name in ("step", "decoded_batch", "cached_batch")},
        "cache_mib": row["cache_bytes"] / MIB,
        "ratio": target(ratio, least=CACHE_TARGET),
    }


def main() -> None:
    options_of = parser("Time to load the images of a step.")
    options_of.add_argument("--photographs", type=Path, metavar="FOLDER", help="class folders of photographs")
    options = options_of.parse_args()
    give(measure(options.photographs, options.repeats), options)


if __name__ == "__main__":
    main()
