"""Photographs per second of one core: torchvision's ImageFolder beside every source, and decoding of large JPEG files.

    python benchmarks/photographs.py [--photographs FOLDER] [--repeats 3] [--json FILE]

Needs the package and PyTorch; shards and Parquet files are measured if webdataset and datasets are installed. It takes
some minutes. FOLDER contains class folders of photographs, see data.py. One process with one thread loads everything,
and its CPU time counts, so other programs disturb the figures little.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from data import write_photographs
from measuring import give, header, parser
from peerdistill.data import Augmentation, DataConfig, load_dataset, open_picture, train_batches
from peerdistill.data.dataset import FolderSplit
from peerdistill.data.images.decode import read_picture
from peerdistill.data.images.preprocess import Resized
from peerdistill.data.pictures import SHORTER

SIZE, BATCH, BATCHES, MIN_SCALE = 224, 32, 10, 0.08
LARGE, LARGE_PICTURES = (4000, 3000), 8
"""12 megapixels."""


def loading(data: str, cache: str) -> tuple[Callable[[], None], FolderSplit]:
    """Return a function that loads some batches, and the pictures that they are drawn from."""
    found = load_dataset(DataConfig(data, image_size=SIZE, validation=0.0, cache=cache))
    assert isinstance(found.train, FolderSplit)
    batches = train_batches(
        found.train,
        found,
        batch_size=BATCH,
        augmentation=Augmentation(min_scale=MIN_SCALE),
        seed=0,
        device="cpu",
        workers=0,
    )
    return lambda: _load(batches.epoch(0)), found.train


def _load(batches: Iterable[object]) -> None:
    for _ in islice(batches, BATCHES):
        pass


def torchvisions(folder: Path, split: FolderSplit) -> Callable[[], None]:
    """Return a function that loads as many batches of the same pictures as torchvision's examples do."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(MIN_SCALE, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    pictures = ImageFolder(str(folder), transform)
    rows = {path: row for row, (path, _) in enumerate(pictures.samples)}
    loader = DataLoader(Subset(pictures, [rows[path] for path in split.paths]), BATCH, shuffle=True, drop_last=True)
    return lambda: _load(loader)


def write_shards(folder: Path, shard: Path) -> None:
    import webdataset

    files = sorted(folder.rglob("*.jpg"))
    with webdataset.TarWriter(str(shard)) as archive:
        for file in files:
            archive.write({"__key__": file.stem, "jpg": file.read_bytes(), "cls": file.parent.name})


def write_parquet(folder: Path, file: Path) -> None:
    import datasets

    files = sorted(folder.rglob("*.jpg"))
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = {"image": images, "label": [file.parent.name for file in files]}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(table, kinds).to_parquet(str(file))


def cpu_seconds(act: Callable[[], object]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


def ways_to_load(folder: Path, scratch: Path, repeats: int) -> list[dict]:
    """Return pictures per second of one core for every way to load them."""
    plain, split = loading(str(folder), "off")
    ways = {
        "torchvision: ImageFolder, DataLoader": torchvisions(folder, split),
        "class folders, no cache": plain,
        "class folders, from the cache": loading(str(folder), str(scratch / "cache"))[0],
    }
    if find_spec("webdataset"):
        write_shards(folder, scratch / "all.tar")
        ways["shards, no cache"] = loading(f"wds:{scratch / 'all.tar'}", "off")[0]
    if find_spec("datasets"):
        (scratch / "parquet").mkdir()
        write_parquet(folder, scratch / "parquet" / "train.parquet")
        ways["Parquet files, no cache"] = loading(f"hf:{scratch / 'parquet'}", "off")[0]
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, act in ways.items():
            seconds = cpu_seconds(act)
            took[name] += [seconds] if turn else []
    rates = {name: BATCH * BATCHES / statistics.median(seconds) for name, seconds in took.items()}
    base = next(iter(rates.values()))
    return [{"way": name, "per_second": rate, "ratio": rate / base} for name, rate in rates.items()]


def reduced(folder: Path, repeats: int) -> dict[str, float]:
    """Return CPU seconds to decode and resize large JPEG files for training, and how much reduced decoding changes."""
    resized, rng = Resized(SHORTER * SIZE, 3), np.random.default_rng(0)
    contents = [_large(file, rng) for file in sorted(folder.rglob("*.jpg"))[:LARGE_PICTURES]]
    ways = {"full": None, "reduced": resized.sufficient, "least": resized.shorter}
    read = {name: partial(_read, resized, sufficient) for name, sufficient in ways.items()}
    found: dict[str, float] = {}
    for name, act in read.items():
        took = [cpu_seconds(partial(list, map(act, contents))) for _ in range(repeats)]
        apart = [np.abs(read["full"](one).astype(int) - act(one)) for one in contents]
        found[f"{name}_ms"] = 1e3 * statistics.median(took) / len(contents)
        found[f"{name}_mean"] = float(np.mean([one.mean() for one in apart]))
        found[f"{name}_most"] = int(max(one.max() for one in apart))
    return found


def _large(file: Path, rng: np.random.Generator) -> bytes:
    """Return the JPEG file of a photograph of 12 megapixels with the noise of a camera."""
    pixels = np.asarray(open_picture(file).resize(LARGE, Image.Resampling.LANCZOS), dtype=np.int16)
    noisy = pixels + rng.normal(0, 4, (*pixels.shape[:2], 1)).round().astype(np.int16)
    content = BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=92)
    return content.getvalue()


def _read(resized: Resized, sufficient: int | None, content: bytes) -> np.ndarray:
    return resized(read_picture(content, "a large picture", sufficient))


def measure(source: Path | None, repeats: int) -> dict:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/datasets"
        folder = Path(scratch, "photographs")
        folder.mkdir()
        mean_bytes = write_photographs(folder, source)
        rows, large = ways_to_load(folder, Path(scratch), repeats), reduced(folder, repeats)
    kind = "cut from a folder" if source else "made of noise"
    sizes = f"photographs {kind}, 500 x 375, JPEG of {mean_bytes / 1000:.0f} kB; image size {SIZE}; large: 4000 x 3000"
    rounds = f"median of {repeats} alternating rounds of {BATCHES} batches after one untimed"
    method = f"CPU time of one process with one thread, {rounds}"
    return {"header": header(sizes, method), "ways": rows, "large": large}


def main() -> None:
    options_of = parser("Photographs per second of one core.", repeats=3)
    options_of.add_argument("--photographs", type=Path, metavar="FOLDER", help="class folders of photographs")
    options = options_of.parse_args()
    give(measure(options.photographs, options.repeats), options)


if __name__ == "__main__":
    main()
