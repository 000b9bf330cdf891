"""Backbones by name. Nothing heavy is imported before one is built."""

from importlib import import_module
from typing import TYPE_CHECKING

from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    import peerdistill.backbones.backbone

# Name -> module of this folder that holds the function of that name.
_WHERE = {
    "resnet20": "resnet",
    "resnet32": "resnet",
    "resnet56": "resnet",
    "resnet110": "resnet",
    "vgg16": "vgg",
    "densenet40_12": "densenet",
    "resnet18": "torchvision_resnet",
    "resnet34": "torchvision_resnet",
    "resnet50": "torchvision_resnet",
}


def names() -> tuple[str, ...]:
    """Return every name that :func:`build` takes."""
    return tuple(_WHERE)


def build(name: str, *, classes: int, in_channels: int = 3) -> "peerdistill.backbones.backbone.Backbone":
    """Return the backbone called ``name``.

    Args:
        name: One of :func:`names`.
        classes: Width of the classifier's output.
        in_channels: Channels of the images, 1 for grey and 3 for RGB.

    Raises:
        UserError: For an unknown name, fewer than 2 classes or fewer than 1 channel.
    """
    if name not in _WHERE:
        raise unknown_name("backbone", name, _WHERE)
    if classes < 2:
        raise UserError(f"classes must be at least 2, found {classes}")
    if in_channels < 1:
        raise UserError(f"in_channels must be at least 1, found {in_channels}")
    module = import_module(f"{__package__}.{_WHERE[name]}")
    return getattr(module, name)(classes, in_channels)
