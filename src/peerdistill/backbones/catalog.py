"""Backbones by name. Nothing heavy is imported before one is built, or looked up that is none of our own."""

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    import peerdistill.backbones.backbone

# Name -> module of this folder that holds the function of that name.
_WHERE = {
    "resnet8": "resnet",
    "resnet20": "resnet",
    "resnet32": "resnet",
    "resnet56": "resnet",
    "resnet110": "resnet",
    "resnet8x4": "resnet",
    "resnet32x4": "resnet",
    "wrn_16_2": "wide_resnet",
    "wrn_40_2": "wide_resnet",
    "vgg8": "vgg",
    "vgg13": "vgg",
    "vgg16": "vgg",
    "densenet40_12": "densenet",
    "hcgnet_a1": "hcgnet",
    "mobilenetv2_half": "mobilenet",
    "shufflenetv1": "shufflenet",
    "conv4": "conv4",
    "conv4_128": "conv4",
    "resnet18": "torchvision_resnet",
    "resnet34": "torchvision_resnet",
    "resnet50": "torchvision_resnet",
}
_OTHERS = ("timm:NAME", "torchvision:NAME", "package.module:function")
# Modules whose functions need the images' size: the width of their features depends on it.
_SIZED = {"conv4": 32}


def names() -> tuple[str, ...]:
    """Return the names of our own backbones."""
    return tuple(_WHERE)


def is_own_code(name: str) -> bool:
    """Tell whether a name is that of a function in the user's own code, ``package.module:function``."""
    where, colon, _ = name.partition(":")
    return bool(colon) and where not in ("timm", "torchvision")


def resolve(name: str) -> str:
    """Return the full name of a backbone: one of :func:`names`, or one that says where it is.

    A bare name is looked up among our own, then in timm, then in torchvision.

    Args:
        name: ``resnet32``, ``mobilenetv3_small_100``, ``timm:NAME``, ``torchvision:NAME`` or
            ``package.module:function``.

    Raises:
        UserError: For a name that is nowhere. The user's own function is looked for when it is called.
    """
    if name in _WHERE:
        return name
    if is_own_code(name):
        return name
    where, colon, rest = name.partition(":")
    from peerdistill.backbones import timm_models, torchvision_models

    if where != "torchvision" and timm_models.has(rest or name):
        return f"timm:{rest or name}"
    if where != "timm" and (rest or name) in torchvision_models.names():
        return f"torchvision:{rest or name}"
    of_libraries = {"timm": timm_models.names(), "torchvision": torchvision_models.names()}
    if colon:
        raise unknown_name("backbone", name, [f"{where}:{other}" for other in of_libraries[where]])
    raise _unknown(name, [*of_libraries["timm"], *of_libraries["torchvision"]])


def _unknown(name: str, of_libraries: list[str]) -> UserError:
    """Return the error that names the nearest of our own, else of the libraries' many."""
    own = [*_WHERE, *_OTHERS]
    near = get_close_matches(name, own, n=1, cutoff=0.5) or not get_close_matches(name, of_libraries, n=1, cutoff=0.5)
    return unknown_name("backbone", name, own if near else of_libraries)


def build(
    name: str,
    *,
    classes: int,
    in_channels: int = 3,
    image_size: int | None = None,
    classifier: str | None = None,
) -> "peerdistill.backbones.backbone.Backbone":
    """Return the backbone called ``name``.

    Args:
        name: What :func:`resolve` takes.
        classes: Width of the classifier's output.
        in_channels: Channels of the images, 1 for grey and 3 for RGB.
        image_size: Side of the images in pixels, for networks that are made for one size (ViT and the like) and for
            the cost that decides where peers part; by default the size that the network is known for.
        classifier: For ``package.module:function``: attribute name of the classifier, by default the last linear layer.

    Raises:
        UserError: For an unknown name, fewer than 2 classes or 1 channel, or a network that can't be a peer: it takes
            no such images, or has no linear layer that returns its logits.
    """
    found = resolve(name)
    if classes < 2:
        raise UserError(f"classes must be at least 2, found {classes}")
    if in_channels < 1:
        raise UserError(f"in_channels must be at least 1, found {in_channels}")
    where, colon, rest = found.partition(":")
    if classifier is not None and not is_own_code(found):
        raise UserError(f"the classifier of {found} is known: 'classifier' goes with package.module:function")
    if not colon:
        module = _WHERE[found]
        size = (image_size or _SIZED[module],) if module in _SIZED else ()
        return getattr(import_module(f"{__package__}.{module}"), found)(classes, in_channels, *size)
    if where == "timm":
        from peerdistill.backbones import timm_models

        return timm_models.backbone(rest, classes, in_channels, image_size)
    if where == "torchvision":
        from peerdistill.backbones import torchvision_models

        return torchvision_models.backbone(rest, classes, in_channels, image_size)
    from peerdistill.backbones import own_code

    return own_code.backbone(found, classes, in_channels, image_size, classifier)
