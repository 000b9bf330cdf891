"""Backbones from user code."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from peerdistill.backbones.adapters.splitting import split
from peerdistill.backbones.backbone import PHOTO_SIZE, Backbone
from peerdistill.errors import UserError
from peerdistill.user_code import user_function


def backbone(name: str, classes: int, in_channels: int, image_size: int | None, classifier: str | None) -> Backbone:
    """Return the backbone that a user function makes; ``name`` is ``package.module:function``.

    The function is called with the number of classes as ``classes`` or ``num_classes``. If it has a parameter
    ``in_channels`` or ``in_chans``, it also gets the number of channels. It returns a network or a backbone.

    Raises:
        UserError: If there is no such function, it has no parameter for the classes (or, for images that are not RGB,
            for the channels), or it returns something else.
    """
    function = user_function(name, "backbone")
    make = partial(function, **_arguments(name, function, classes, in_channels))
    with torch.random.fork_rng(devices=[]):
        made = make()
    if isinstance(made, Backbone):
        return made
    if not isinstance(made, nn.Module):
        raise UserError(f"backbone {name} must return a module or a Backbone, found {type(made).__name__}")
    size = image_size or PHOTO_SIZE
    return split(name, make, classifier, (in_channels, size, size), example=made)


def _arguments(name: str, function: Callable[..., Any], classes: int, in_channels: int) -> dict[str, int]:
    parameters = inspect.signature(function).parameters
    for_classes = next((word for word in ("classes", "num_classes") if word in parameters), None)
    for_channels = next((word for word in ("in_channels", "in_chans") if word in parameters), None)
    if for_classes is None:
        raise UserError(f"backbone {name} needs a parameter 'classes' or 'num_classes', found {list(parameters)}")
    if for_channels is None and in_channels != 3:
        raise UserError(
            f"backbone {name} needs a parameter 'in_channels' or 'in_chans': the images have {in_channels} channels"
        )
    return {for_classes: classes} | ({for_channels: in_channels} if for_channels else {})
