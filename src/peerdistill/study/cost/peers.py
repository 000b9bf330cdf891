"""Peers and method of a configuration, usually with tensors without data: shapes are computed, numbers are not."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from peerdistill import fewshot, methods
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.contrast.options import BankContrastOptions
from peerdistill.data import DataConfig, Dataset
from peerdistill.data.dataset import ArraySplit
from peerdistill.errors import PeerdistillWarning
from peerdistill.runs.build import build_cohort, check_batch_norm
from peerdistill.runs.teacher import load_feature_teacher
from peerdistill.study.cost.counting import ZerosForValues
from peerdistill.study.cost.sizes import Sizes
from peerdistill.terms import Method, Teacher


class SomeBatch(NamedTuple):
    """A batch as the trainer gets it.

    Attributes:
        images: (batch, channels, side, side).
        labels: (batch,).
        indices: (batch,).
        targets: (mixed, classes), or None.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    targets: Tensor | None


@dataclass(frozen=True)
class Peers:
    """Peers and their method in training mode, and a batch.

    Attributes:
        cohort: The peers.
        method: The method.
        batch: The batch.
    """

    cohort: Cohort
    method: Method
    batch: SomeBatch


Found = TypeVar("Found")


def with_shapes(config: Config, sizes: Sizes, use: Callable[[Peers], Found]) -> Found:
    """Return what ``use`` returns for peers whose tensors have shapes but no data.

    A network and a memory bank of any size then take a moment and no memory. If code of the user's needs data, ``use``
    gets peers with data.

    Raises:
        UserError: As :func:`peers_of`.
    """
    try:
        with ZerosForValues():
            return use(peers_of(config, sizes, torch.device("meta")))
    except RuntimeError:  # with a message that says that a tensor has no data, in many forms
        return use(peers_of(config, sizes, torch.device("cpu")))


def peers_of(config: Config, sizes: Sizes, device: torch.device) -> Peers:
    """Return peers and method of a configuration, with a random batch. Pretrained weights are not loaded.

    Args:
        config: Configuration of a run.
        sizes: Sizes of its data.
        device: Where the tensors are; those on "meta" have no data.

    Raises:
        UserError: As for a run: an unknown network, a teacher that does not exist, too few peers, a batch of one image.
    """
    labels = torch.arange(sizes.samples) % sizes.classes
    teacher = _teacher(config, sizes)
    with device, warnings.catch_warnings():
        warnings.simplefilter("ignore", PeerdistillWarning)  # training shows them
        images = {"channels": sizes.channels, "image_size": sizes.image_size}
        cohort = build_cohort(config.cohort, **images, classes=sizes.classes)
        method = _method(config, cohort, labels, teacher)
        batch = _batch(config, sizes)
    method.batches_per_step = config.training.accumulate
    method.start_epoch(0)
    # The labels and what is computed from them have data until here.
    found = Peers(cohort.to(device).train(), method.to(device).train(), batch)
    check_batch_norm(config.training.batch_size, found.cohort, found.method)
    return found


def _method(config: Config, cohort: Cohort, labels: Tensor, teacher: Teacher | None) -> Method:
    options: dict[str, Any] = {
        **_countable(config.options),
        "train_labels": labels,
        "teacher": teacher,
        "teacher_weight": config.teacher.teacher_weight,
    }
    if config.episodes is not None:
        return fewshot.build_method(config.method, cohort, config.episodes, **options)
    return methods.build(config.method, cohort, **options)


def _teacher(config: Config, sizes: Sizes) -> Teacher | None:
    source, what = config.teacher.teacher, config.teacher.teacher_what
    return None if source is None else load_feature_teacher(source, _no_images(sizes), what)[0]


def _countable(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a method with negatives that can be drawn without data; drawing takes no multiply-adds."""
    return {
        name: replace(value, replacement=True) if isinstance(value, BankContrastOptions) else value
        for name, value in options.items()
    }


def _no_images(sizes: Sizes) -> Dataset:
    """Return data of some sizes without images, which a teacher must fit."""
    side, channels = sizes.image_size, sizes.channels
    pixels = torch.empty(0, channels, side, side, dtype=torch.uint8, device="cpu")
    split = ArraySplit(pixels, torch.empty(0, dtype=torch.int64, device="cpu"))
    names = tuple(map(str, range(sizes.classes)))
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return Dataset("", names, channels, side, 1.0, zeros, ones, train=split, val=None, test=None, fingerprint="")


def _batch(config: Config, sizes: Sizes) -> SomeBatch:
    batch, side = config.training.batch_size, sizes.image_size
    mixed = config.data.mix.mixed_of(batch) if isinstance(config.data, DataConfig) else 0
    indices = torch.arange(batch) % sizes.samples
    return SomeBatch(
        images=torch.rand(batch, sizes.channels, side, side),
        labels=indices % sizes.classes,
        indices=indices,
        targets=torch.full((mixed, sizes.classes), 1 / sizes.classes) if mixed else None,
    )
