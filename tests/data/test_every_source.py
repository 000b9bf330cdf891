"""The index of a sample never changes: it is the row of its memory bank, whatever reads the data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from peerdistill.data import DataConfig, Dataset, eval_batches, load_dataset, train_batches
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.sources import SOURCES
from peerdistill.shares import WHOLE, Share
from support.containers import write_parquet, write_shards
from support.photos import write_class_folders
from support.tiny_cifar import pretend_public

OWN = """
import numpy as np

def squares():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    return images, np.arange(60) % 3
"""


def cifar(reader: type[CIFAR10], folder: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
    (folder / reader.filename).write_bytes(pretend_public(reader, patch))
    return {"root": str(folder)}


def npz(folder: Path) -> str:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "a.npz", images=images, labels=np.arange(60) % 3, class_names=np.array(["a", "b", "c"]))
    return f"npz:{folder}/a.npz"


def own(folder: Path, patch: pytest.MonkeyPatch) -> str:
    (folder / "my_squares.py").write_text(OWN)
    patch.syspath_prepend(str(folder))
    return "my_squares:squares"


def hugging_face(folder: Path, patch: pytest.MonkeyPatch) -> str:
    datasets = pytest.importorskip("datasets")
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    return f"hf:{write_parquet(folder / 'parquet', {'train': 31, 'test': 9})}"


def shards(folder: Path) -> str:
    pytest.importorskip("webdataset")
    return f"wds:{write_shards(folder / 'shards', {'train': 31, 'test': 9})}"


Write = Callable[[Path, pytest.MonkeyPatch], dict[str, str]]
EXAMPLES: dict[str, Write] = {
    "cifar10": lambda folder, patch: {"data": "cifar10", **cifar(CIFAR10, folder, patch)},
    "cifar100": lambda folder, patch: {"data": "cifar100", **cifar(CIFAR100, folder, patch)},
    "digits": lambda folder, patch: {"data": "digits"},
    "folder": lambda folder, patch: {"data": str(write_class_folders(folder / "a", {"ant": 20, "bee": 20}))},
    "function": lambda folder, patch: {"data": own(folder, patch)},
    "hf": lambda folder, patch: {"data": hugging_face(folder, patch)},
    "npz": lambda folder, patch: {"data": npz(folder)},
    "wds": lambda folder, patch: {"data": shards(folder)},
}


@pytest.fixture(params=SOURCES.all)
def config(request, tmp_path, monkeypatch) -> DataConfig:
    """A small example of each registered source. A new one needs its line above."""
    given = EXAMPLES[request.param](tmp_path, monkeypatch)
    return DataConfig(**given, image_size=8, validation=0.2, cache=str(tmp_path / "kept"))


def load(config: DataConfig) -> Dataset:
    return load_dataset(config, download=True)


def seen(data: Dataset, epoch: int, share: Share = WHOLE, start: int = 0, workers: int = 0) -> list:
    """The batches of an epoch, without augmentation."""
    batches = train_batches(
        data.train, data, batch_size=6, augmentation=None, seed=3, device="cpu", workers=workers, share=share
    )
    found = list(batches.epoch(epoch, start))
    batches.close()
    return found


def test_an_index_is_always_the_same_sample(config):
    data = load(config)
    rows = list(eval_batches(data.train, data, batch_size=100, device="cpu", workers=0))
    images, labels = torch.cat([batch.images for batch in rows]), torch.cat([batch.labels for batch in rows])
    assert torch.equal(labels, data.train.labels)
    assert len(images.flatten(1).unique(dim=0)) > 0.9 * len(images)  # samples can be told apart
    again = load(config)
    assert again.fingerprint == data.fingerprint
    whole = {epoch: seen(data, epoch) for epoch in (0, 1)}
    for processes in (1, 2, 3):
        for epoch, start in ((0, 0), (1, 0), (1, 2)):
            parts = [seen(again, epoch, Share(number, processes), start) for number in range(processes)]
            for expected, *found in zip(whole[epoch][start:], *parts, strict=True):
                assert all(torch.equal(part.indices, expected.indices) for part in found)
                assert torch.equal(torch.cat([part.images for part in found]), images[expected.indices])
                assert torch.equal(expected.labels, labels[expected.indices])


@pytest.mark.own_process
@pytest.mark.parametrize("config", ["folder", "hf", "wds"], indirect=True)
def test_workers_read_the_same_pictures(config):
    data = load(config)
    assert not isinstance(data.train, ArraySplit)
    for ours, theirs in zip(seen(data, 0), seen(data, 0, workers=2), strict=True):
        assert torch.equal(ours.indices, theirs.indices)
        assert torch.equal(ours.images, theirs.images)
