"""The recipe for ImageNet trains from class folders, from Parquet files and from shards.

Its network is tests/config/test_recipes.py's part: a checkpoint of four ResNet-34 has 700 MB.
"""

import shutil
from pathlib import Path

import pytest
import torch

import peerdistill as pdl
from support.containers import CLASSES, encoded, write_parquet, write_shards

COUNTS = {"train": 18, "val": 6}


def write_folders(folder: Path) -> Path:
    for place, (split, count) in enumerate(COUNTS.items()):
        for number in range(count):
            file = folder / split / CLASSES[number % 3] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(1000 * place + number))
    return folder


def trained(data: str, folder: Path) -> pdl.Run:
    """The recipe with a small network, small images, a small batch and few negatives."""
    return pdl.train(
        data,
        run=folder,
        recipe="imagenet",
        backbone="resnet8",
        image_size=32,
        batch_size=8,
        epochs=1,
        workers=0,
        cache="off",
        contrast={"count": 16},
        loggers=[],
    )


def test_class_folders(tmp_path):
    run = trained(str(write_folders(tmp_path / "imagenet")), tmp_path / "run")
    assert run.evaluate(split="val")["leader"]["top1"] >= 0
    assert (run.config.data.validation, run.config.training.lr) == (0, 0.05)


def test_parquet_files_and_shards_of_the_same_pictures_train_the_same_network(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    sources = {
        "parquet": f"hf:{write_parquet(tmp_path / 'parquet', COUNTS)}",
        "shards": f"wds:{write_shards(tmp_path / 'shards', COUNTS)}",
    }
    runs = {name: trained(data, tmp_path / f"run-{name}") for name, data in sources.items()}
    ours, theirs = (run.leader().state_dict() for run in runs.values())
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    shutil.move(tmp_path / "parquet", tmp_path / "moved")
    found = runs["parquet"].evaluate(data=f"hf:{tmp_path / 'moved'}")
    assert found["leader"]["top1"] == runs["shards"].evaluate()["leader"]["top1"]
