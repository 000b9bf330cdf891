"""Models of timm as backbones. The leader's ``state_dict`` is that of the timm model."""

from dataclasses import replace
from functools import partial
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from torch import nn

from peerdistill.backbones.adapters.splitting import split
from peerdistill.backbones.backbone import Backbone, PretrainedInput


def has(name: str) -> bool:
    """Return whether timm has a model of this name, with or without a tag for its weights ("resnet50.a1_in1k")."""
    return timm.is_model(name.partition(".")[0])


def names() -> list[str]:
    """Return the names of timm's models, without tags."""
    return timm.list_models()


def backbone(name: str, classes: int, in_channels: int, image_size: int | None) -> Backbone:
    """Return a timm model as a backbone. Its classifier is found with ``get_classifier``."""
    known = timm.get_pretrained_cfg(name)
    assert known is not None  # every model that `has` accepts has one
    size = image_size or known.input_size[-1]
    options: dict[str, Any] = {"num_classes": classes, "in_chans": in_channels}
    if known.fixed_input_size:
        options["img_size"] = size
    make = partial(timm.create_model, name, **options)
    with torch.random.fork_rng(devices=[]):
        example = make()
    return replace(
        split(f"timm:{name}", make, _classifier(example), (in_channels, size, size), example=example),
        pretrained=partial(timm.create_model, name, pretrained=True, **options),
    )


def pretrained_input(name: str) -> PretrainedInput:
    """Return the images that timm's weights of this name expect, as its evaluation prepares them."""
    known = timm.get_pretrained_cfg(name)
    assert known is not None
    found = resolve_data_config(pretrained_cfg=known.to_dict())
    return PretrainedInput(
        image_size=found["input_size"][-1],
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        crop=found["crop_pct"],
        interpolation=found["interpolation"],
    )


def _classifier(network: nn.Module) -> str | None:
    """Return the name of timm's classifier, or of the last linear layer inside it."""
    head = network.get_classifier()  # pyright: ignore[reportCallIssue] (every timm model has it)
    inside = [path for path, module in network.named_modules() if module is head]
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    return next((path for path in reversed(linear) if inside and f"{path}.".startswith(f"{inside[0]}.")), None)
