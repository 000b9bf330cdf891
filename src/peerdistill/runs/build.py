"""Objects from a configuration, and checks that data and run belong together."""

from typing import Any

import numpy as np
import torch
from torch import nn

from peerdistill import backbones
from peerdistill.cohort import Cohort
from peerdistill.config.config import CohortConfig, Config
from peerdistill.data import Dataset
from peerdistill.data.dataset import Split, contents
from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError, some_of
from peerdistill.evaluation import Evaluator


def build_cohort(config: CohortConfig, *, channels: int, image_size: int, classes: int) -> Cohort:
    """Return the cohort of a configuration for images of a size and a number of classes."""
    images = {"in_channels": channels, "image_size": image_size}
    return Cohort(
        backbones.build(config.backbone, classes=classes, **images, classifier=config.classifier),
        classes,
        config.peers,
        config.sharing,
        share_until=config.share_until,
        branch_at=config.branch_at,
        peer_backbones=config.peer_backbones,
        **images,
        split_gradients=config.split_gradients,
        freeze_until=config.freeze_until,
    )


def card_of(config: Config, data: Dataset) -> LeaderCard:
    """Return the card of a leader: what it must know about its data when it is deployed."""
    return LeaderCard(
        backbone=backbones.architecture(config.cohort.backbone),
        class_names=data.class_names,
        image_size=data.image_size,
        channels=data.channels,
        mean=data.mean,
        std=data.std,
        crop=data.crop,
        interpolation=data.interpolation,
    )


def deployed(cohort: Cohort, card: LeaderCard) -> nn.Module:
    """Return the network to deploy: the leader, without its classifier if the card has no classes."""
    return cohort.encoder() if card.is_encoder else cohort.leader()


def check_device(device: str) -> None:
    """Raise UserError if this machine does not have the device."""
    available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in available and not available[device]():
        raise UserError(f"device {device} is not available on this machine: choose cpu")


def check_batch_norm(batch_size: int, *modules: nn.Module, devices: int = 1, synchronised: bool = False) -> None:
    """Raise UserError if batch normalisation gets a single image, or none.

    Args:
        batch_size: Images per batch, of all devices together.
        *modules: What is trained.
        devices: Number of devices that share a batch.
        synchronised: Whether batch normalisation uses the images of all devices.
    """
    least = max(2, devices) if synchronised else 2 * devices
    if batch_size >= least:
        return
    shared = f" on {devices} devices, which share a batch" if devices > 1 else ""
    for module in modules:
        for name, part in module.named_modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training:
                raise UserError(
                    f"batch_size must be at least {least} for a network with batch normalisation ({name}){shared}, "
                    f"found {batch_size}"
                )


def check_synchronisable(device: torch.device) -> None:
    """Raise UserError if batch normalisation cannot be synchronised between processes on this kind of device."""
    if device.type != "cuda":
        raise UserError(
            f"sync_batchnorm needs CUDA devices, found {device.type}: PyTorch does not synchronise batch normalisation "
            "there"
        )


def check_patience(patience: int, validation: Evaluator | None) -> None:
    """Raise UserError if training should stop early but nothing is held out that can tell when."""
    if patience and validation is None:
        raise UserError(
            f"patience {patience} needs validation images, and none are held out: set patience to 0, or hold some out "
            "(train: --validation 0.1; fewshot: without --trainval)"
        )


def is_same_data(before: dict[str, Any], data: Dataset) -> bool:
    """Return whether ``data`` have the content that a checkpoint records, wherever they are now."""
    return list(data.class_names) == before["class_names"] and data.fingerprint == before["fingerprint"]


def has_grown(before: dict[str, Any], data: Dataset) -> bool:
    """Return whether the training images contain all images that a run was trained on, and further ones."""
    if "contents" not in before:  # of an earlier version
        return False
    trained, now = before["contents"].numpy(), contents(data.train)
    same_classes = list(data.class_names) == before["class_names"]
    return same_classes and 0 < len(trained) < len(now) and bool(np.isin(trained, now).all())


def trained_among(before: dict[str, Any], images: Split) -> int:
    """Return how many of ``images`` have the same content as an image that a run was trained on."""
    return int(np.isin(contents(images), before["contents"].numpy()).sum())


def check_same_data(before: dict[str, Any], data: Dataset) -> None:
    """Raise UserError if ``data`` do not have the content that a checkpoint records."""
    names = list(data.class_names)
    if names != before["class_names"]:
        raise UserError(
            f"the run was trained on the classes {some_of(before['class_names'], 8)}, the data has {some_of(names, 8)}"
        )
    if len(data.train) != before["train_images"]:
        raise UserError(
            f"the run was trained on {before['train_images']} images, the data has {len(data.train)} for training"
        )
    if data.fingerprint != before["fingerprint"]:
        raise UserError("the training images have changed since the run was started")


def is_same_split(before: dict[str, Any], data: Dataset, split: str) -> bool:
    """Return whether the images of "val" or "test" are those that a checkpoint records."""
    return before.get("held_out", {}).get(split) == data.held_out.get(split)
