"""Pictures in the files of other libraries, written by these libraries."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from support.photos import noise

CLASSES = ("ant", "bee", "cat")


def encoded(seed: int, kind: str = "PNG", height: int = 20, width: int = 30) -> bytes:
    """Return the file of a picture of noise."""
    buffer = io.BytesIO()
    Image.fromarray(noise(seed, height, width)).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(folder: Path, counts: Mapping[str, int]) -> Path:
    """Write a data set of ``datasets`` as Parquet files, such as ``train-00000-of-00001.parquet``; classes take turns.

    Picture i of a split has seed 1000 p + i, where p is the place of the split.
    """
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    (folder / "data").mkdir(parents=True)
    for place, (split, count) in enumerate(counts.items()):
        images = [{"bytes": encoded(1000 * place + number), "path": f"{number}.png"} for number in range(count)]
        labels = [number % len(CLASSES) for number in range(count)]
        table = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", batch_size=4)
    return folder


def write_shards(folder: Path, counts: Mapping[str, int], per_shard: int = 10, names: bool = True) -> Path:
    """Write shards with WebDataset's writer, ``train-000000.tar`` and so on, with the pictures of `write_parquet`."""
    import webdataset

    folder.mkdir(parents=True, exist_ok=True)
    for place, (split, count) in enumerate(counts.items()):
        with webdataset.ShardWriter(f"{folder}/{split}-%06d.tar", maxcount=per_shard, verbose=0) as shards:
            for number in range(count):
                shards.write(
                    {
                        "__key__": f"sample{number:04}",
                        "png": encoded(1000 * place + number),
                        "cls": number % len(CLASSES),
                        "json": {"number": number},
                    }
                )
    if names:
        (folder / "classnames.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


def pixels(seed: int) -> np.ndarray:
    """Return the picture that `write_parquet` and `write_shards` write for a seed."""
    return noise(seed, 20, 30)
