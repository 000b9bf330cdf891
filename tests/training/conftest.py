"""A cohort, a method and digits that are small enough for an epoch to take a fraction of a second."""

import signal
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lightning_fabric import Fabric, seed_everything
from torch import nn

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone
from peerdistill.backbones.backbone import Stage
from peerdistill.contrast import ContrastOptions
from peerdistill.data import Augmentation, Dataset, eval_batches, load_dataset, train_batches
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import ArraySplit
from peerdistill.errors import Failure
from peerdistill.evaluation import ClassEvaluator
from peerdistill.training import Checkpoints, MetricsFile, Trainer, TrainingConfig


def tiny_network(channels: int, classes: int) -> nn.Sequential:
    """A network with state (BatchNorm) and random draws (dropout)."""
    body = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stem = nn.Conv2d(channels, 4, 3)
    return nn.Sequential(OrderedDict(stem=stem, body=body, pool=pool, fc=nn.Linear(6, classes)))


def tiny_backbone(channels: int, classes: int) -> Backbone:
    stages = (Stage("stem", ("stem",)), Stage("body", ("body", "pool")))
    return Backbone("tiny", lambda: tiny_network(channels, classes), stages, classifier="fc", share_until="stem")


class BatchesWith:
    """Training batches that call ``action`` before step number ``at``, counted from 1."""

    def __init__(self, batches, at: int, action: Callable[[], object]):
        self._batches = batches
        self._at = at
        self._action = action

    @property
    def steps_per_epoch(self) -> int:
        return self._batches.steps_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator:
        for number, batch in enumerate(self._batches.epoch(epoch, start), start + 1):
            if epoch * self.steps_per_epoch + number == self._at:
                self._action()
            yield batch


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """70 digits for training, which is 4 steps of 16, and 30 for validation."""
    data = load_dataset(DataConfig("digits"))
    assert isinstance(data.train, ArraySplit)
    train, val = (ArraySplit(data.train.images[rows], data.train.labels[rows]) for rows in (slice(70), slice(70, 100)))
    return replace(data, train=train, val=val)


@pytest.fixture
def make_trainer(tmp_path: Path, digits: Dataset) -> Callable[..., Trainer]:
    """Return a function that makes a trainer as a new process would."""

    def make(name: str = "run", data: Dataset = digits, seed: int = 0, **changes) -> Trainer:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        contrast = changes.pop("contrast", ContrastOptions(count=8, width=8))
        own = {
            key: changes.pop(key) for key in ("cohort", "method", "batches", "evaluator", "loggers") if key in changes
        }
        config = TrainingConfig(**{"epochs": 2, "batch_size": 16, "lr": 0.1, "device": "cpu", "seed": 7} | changes)
        seed_everything(seed, verbose=False)
        classes = len(data.class_names)
        cohort = own.get("cohort") or Cohort(tiny_backbone(data.channels, classes), classes, peers=2)
        method = own.get("method") or methods.mcl_okd(cohort, data.train.labels, contrast=contrast)
        feed = {"device": "cpu", "workers": 2}
        batches = train_batches(
            data.train, data, batch_size=16, augmentation=Augmentation(1, False, 0.5), seed=config.seed, **feed
        )
        held_out = ClassEvaluator(eval_batches(data.val, data, batch_size=16, **feed)) if data.val is not None else None
        return Trainer(
            cohort,
            method,
            own["batches"](batches) if "batches" in own else batches,
            evaluator=own.get("evaluator", held_out),
            config=config,
            fabric=Fabric(accelerator="cpu", devices=1),
            checkpoints=Checkpoints(folder / "checkpoints"),
            metrics=MetricsFile(folder / "metrics.jsonl"),
            loggers=own.get("loggers", ()),
            notes={"of": "the test"},
        )

    return make


@pytest.fixture
def interrupted_at():
    """Return a function that makes batches with Ctrl-C at a step."""
    return lambda step: lambda batches: BatchesWith(batches, step, interrupt)


@pytest.fixture
def killed_at():
    """Return a function that makes batches at which the process exits at a step."""
    return lambda step: lambda batches: BatchesWith(batches, step, sys.exit)


@pytest.fixture
def failing_at():
    """Return a function that makes batches of which the one before a step cannot be loaded."""

    def fail() -> None:
        raise Failure("unplugged")

    return lambda step: lambda batches: BatchesWith(batches, step, fail)
