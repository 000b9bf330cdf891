"""Models of timm as backbones. The leader's ``state_dict`` is that of the timm model."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from timm.models import build_model_with_cfg
from torch import nn

from peerdistill.backbones.adapters.splitting import split
from peerdistill.backbones.adapters.timm_hub import OF_THE_DATA, described, weights
from peerdistill.backbones.adapters.timm_names import TimmName
from peerdistill.backbones.backbone import Backbone, PretrainedInput
from peerdistill.errors import UserError, reading

_MOST_PARAMETERS = 8 * 10**9
"""Above the largest network of timm."""


def has(name: str) -> bool:
    """Return whether timm has a model of this name, with or without arguments and a tag ("resnet50.a1_in1k")."""
    return timm.is_model(TimmName.parse(name).architecture.partition(".")[0])


def names() -> list[str]:
    """Return the names of timm's models, without tags."""
    return timm.list_models()


def backbone(name: str, classes: int, in_channels: int, image_size: int | None) -> Backbone:
    """Return a timm model as a backbone. Its classifier is found with ``get_classifier``.

    Raises:
        UserError: If the model does not take the arguments of its name.
    """
    parsed = TimmName.parse(name)
    known = timm.get_pretrained_cfg(parsed.architecture)
    assert known is not None  # every model that `has` accepts has one
    size = image_size or known.input_size[-1]
    options: dict[str, Any] = {**_checked(parsed), "num_classes": classes, "in_chans": in_channels}
    if known.fixed_input_size:
        options["img_size"] = size
    make = partial(timm.create_model, parsed.architecture, **options)
    example = _example(make, parsed)
    return replace(
        split(f"timm:{parsed.short}", make, _classifier(example), (in_channels, size, size), example=example),
        pretrained=partial(_pretrained, parsed, options),
    )


def pretrained_input(name: str) -> PretrainedInput:
    """Return the images that timm's weights of this name expect, as its evaluation prepares them.

    Raises:
        UserError: If its source cannot be read.
    """
    parsed = TimmName.parse(name)
    known = described(parsed).pretrained if parsed.source else timm.get_pretrained_cfg(parsed.architecture)
    assert known is not None
    with reading(f"{parsed.short} does not say which images its weights expect"):
        found = resolve_data_config(pretrained_cfg=known.to_dict())
        size = int(found["input_size"][-1])
        return PretrainedInput(
            image_size=size,
            mean=tuple(map(float, found["mean"])),
            std=tuple(map(float, found["std"])),
            crop=size / int(size / found["crop_pct"]),  # timm rounds the length of the resized side down
            interpolation=str(found["interpolation"]),
        )


def _example(make: Callable[[], nn.Module], name: TimmName) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        if not name.arguments:
            return make()
        with reading(f"timm:{name.short} cannot be built with the arguments of its name"):
            with torch.device("meta"):  # arguments may ask for any size
                parameters = sum(parameter.numel() for parameter in make().parameters())
            if parameters > _MOST_PARAMETERS:
                raise UserError(f"it has {parameters:,} parameters, at most {_MOST_PARAMETERS:,} are allowed")
            return make()


def _checked(name: TimmName) -> dict[str, Any]:
    """Return the arguments of a name; those that follow from the data or say what to load are refused."""
    of_timm = {*inspect.signature(timm.create_model).parameters, *inspect.signature(build_model_with_cfg).parameters}
    for argument in name.arguments:
        if argument in OF_THE_DATA:
            raise UserError(f"timm:{name.short} cannot have the argument {argument}: it follows from the data")
        if argument in of_timm:
            raise UserError(f"timm:{name.short} cannot have the argument {argument}: it is not one of the network")
    return dict(name.arguments)


def _pretrained(name: TimmName, options: dict[str, Any]) -> nn.Module:
    """Return the network with its weights, adapted by timm to the number of channels and the image size."""
    if not name.source:
        return timm.create_model(name.architecture, pretrained=True, **options)
    found = described(name).pretrained
    source = replace(found, source=None, file=None, hf_hub_id=None, custom_load=False, state_dict=dict(weights(name)))
    return timm.create_model(name.architecture, pretrained=True, pretrained_cfg=vars(source), **options)


def _classifier(network: nn.Module) -> str | None:
    """Return the name of timm's classifier, or of the last linear layer inside it."""
    head = network.get_classifier()  # pyright: ignore[reportCallIssue] (every timm model has it)
    inside = [path for path, module in network.named_modules() if module is head]
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    return next((path for path in reversed(linear) if inside and f"{path}.".startswith(f"{inside[0]}.")), None)
