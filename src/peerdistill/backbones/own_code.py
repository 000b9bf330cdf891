"""Backbones from the user's own code."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from peerdistill.backbones.backbone import USUAL_SIZE, Backbone
from peerdistill.backbones.splitting import split
from peerdistill.errors import UserError
from peerdistill.user_code import user_function


def backbone(name: str, classes: int, in_channels: int, image_size: int | None, classifier: str | None) -> Backbone:
    """Return what the user's function ``package.module:function`` makes, a network or a backbone.

    The function is called with the number of classes as ``classes`` or ``num_classes``, and the number of channels as
    ``in_channels`` or ``in_chans`` where it has such a parameter.

    Raises:
        UserError: Where there is no such function, it has no such parameter, or returns neither.
    """
    function = user_function(name, "backbone")
    make = partial(function, **_arguments(name, function, classes, in_channels))
    with torch.random.fork_rng(devices=[]):
        made = make()
    if isinstance(made, Backbone):
        return made
    if not isinstance(made, nn.Module):
        raise UserError(f"backbone {name} must return a module or a Backbone, found a {type(made).__name__}")
    size = image_size or USUAL_SIZE
    return split(name, make, classifier, (in_channels, size, size), example=made)


def _arguments(name: str, function: Callable[..., Any], classes: int, in_channels: int) -> dict[str, int]:
    parameters = inspect.signature(function).parameters
    of_classes = next((word for word in ("classes", "num_classes") if word in parameters), None)
    of_channels = next((word for word in ("in_channels", "in_chans") if word in parameters), None)
    if of_classes is None:
        raise UserError(f"backbone {name} needs a parameter 'classes' or 'num_classes', found {list(parameters)}")
    if of_channels is None and in_channels != 3:
        raise UserError(
            f"backbone {name} needs a parameter 'in_channels' or 'in_chans': the images have {in_channels} channels"
        )
    return {of_classes: classes} | ({of_channels: in_channels} if of_channels else {})
