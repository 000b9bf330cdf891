"""Losses and gradients of every method on a GPU beside those of a CPU."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import seed_everything
from torch import Tensor

from gpu_training import Size, noise
from measuring import DEVICE
from peerdistill import Cohort, methods, terms
from peerdistill.cohort import CohortOutput
from peerdistill.data.batches import Batch
from training_step import AFTER_RAMPS


def agreement(size: Size) -> list[dict[str, Any]]:
    """Return relative differences of each method's loss and gradient from a CPU in float32, with the same weights.

    They are those of the GPU with and without TF32 and, for comparison, of the CPU in float64: the effect of rounding
    alone. Negatives are not drawn: they are all samples of other classes.
    """
    return [_agreement_of(name, size) for name in methods.names()]


def _agreement_of(name: str, size: Size) -> dict[str, Any]:
    seed_everything(0, verbose=False)
    card = methods.find(name)
    labels = torch.arange(size.samples) % size.classes
    images = {"image_size": size.image_size}
    cohort = Cohort(size.backbone, size.classes, **{"peers": 4, "sharing": card.sharings[0], **card.cohort}, **images)
    options: dict[str, Any] = {}
    if card.needs_teacher:
        options["teacher"] = terms.Teacher(Cohort(size.backbone, size.classes, 1, "network", **images))
    contrast = inspect.signature(card.build).parameters.get("contrast")
    if contrast is not None:
        options["contrast"] = replace(contrast.default, negatives="all")
    method = methods.build(name, cohort, train_labels=labels, **options)
    method.start_epoch(AFTER_RAMPS)
    batch = noise(size, labels)
    cpu = torch.device("cpu")
    expected = _loss_and_gradient(cohort, method, batch, cpu, torch.float32)
    row: dict[str, Any] = {"method": name, "loss_cpu": expected[0]}
    ways = (("tf32", DEVICE, torch.float32), ("float32", DEVICE, torch.float32), ("float64", cpu, torch.float64))
    for how, device, dtype in ways:
        with _tf32(allowed=how == "tf32"):
            loss, gradient = _loss_and_gradient(cohort, method, batch, device, dtype)
        row[f"loss_{how}"] = abs(loss - expected[0]) / abs(expected[0])
        row[f"gradient_{how}"] = float((gradient - expected[1]).norm() / expected[1].norm())
    return row


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _loss_and_gradient(
    cohort: Cohort, method: terms.Method, batch: Batch, device: torch.device, dtype: torch.dtype
) -> tuple[float, Tensor]:
    """Return the loss of copies on a device, and the gradient of the peers' weights."""
    cohort, method = copy.deepcopy((cohort, method))
    for module in filter(None, (cohort, method, method.teacher)):
        module.to(device, dtype)
    out: CohortOutput = cohort(batch.images.to(device, dtype))
    total = method(out, batch.labels.to(device), batch.indices.to(device)).total
    total.backward()
    gradients = [one.grad.flatten() for one in cohort.parameters() if one.grad is not None]
    return total.item(), torch.cat(gradients).double().cpu()
