"""Classifiers of torchvision as backbones. The leader's ``state_dict`` is that of the torchvision model."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn
from torchvision import models

from peerdistill.backbones.adapters.splitting import split
from peerdistill.backbones.backbone import PHOTO_SIZE, Backbone, PretrainedInput
from peerdistill.errors import UserError

# Name of the option for the image size, for families whose number of tokens depends on it.
_SIZES = {"vit_": "image_size", "maxvit_": "input_size"}
# By default these return several tensors in training, and warn that their initialisation will change.
_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}
# Their pretrained weights include the auxiliary classifiers.
_PRETRAINED_OPTIONS: dict[str, dict[str, Any]] = {name: {"aux_logits": True} for name in ("googlenet", "inception_v3")}


def has(name: str) -> bool:
    """Return whether torchvision has a classifier of this name."""
    return name in names()


def names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return models.list_models(module=models)


def backbone(name: str, classes: int, in_channels: int, image_size: int | None) -> Backbone:
    """Return a torchvision classifier as a backbone. Its last linear layer is the classifier."""
    size = image_size or PHOTO_SIZE
    options = dict(_OPTIONS.get(name, {}))
    for prefix, option in _SIZES.items():
        if name.startswith(prefix):
            options[option] = (size, size) if option == "input_size" else size
    make = partial(network, name, classes, in_channels, **options)
    return replace(
        split(f"torchvision:{name}", make, None, (in_channels, size, size)),
        pretrained=partial(pretrained, name, in_channels, **options),
    )


def network(name: str, classes: int, in_channels: int, **options: Any) -> nn.Module:
    """Return a torchvision network with fresh weights. Its first convolution takes ``in_channels`` channels."""
    made = models.get_model(name, weights=None, num_classes=classes, **options)
    if in_channels != 3:
        path, first = next((path, module) for path, module in made.named_modules() if isinstance(module, nn.Conv2d))
        same = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        given = {attribute: getattr(first, attribute) for attribute in same}
        fresh = nn.Conv2d(in_channels, **given, bias=first.bias is not None)
        nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
        made.set_submodule(path, fresh)
    return made


def pretrained_input(name: str) -> PretrainedInput:
    """Return the images that torchvision's weights expect, as its evaluation prepares them."""
    found = models.get_model_weights(name)["DEFAULT"].transforms()
    return PretrainedInput(
        image_size=found.crop_size[0],
        mean=tuple(found.mean),
        std=tuple(found.std),
        crop=found.crop_size[0] / found.resize_size[0],
        interpolation=found.interpolation.value,
    )


def pretrained(name: str, in_channels: int, **options: Any) -> nn.Module:
    """Return a torchvision network with torchvision's weights for the 1000 classes of ImageNet.

    Raises:
        UserError: If ``in_channels`` is not 3.
    """
    if in_channels != 3:
        raise UserError(
            f"the pretrained weights of torchvision:{name} need RGB images, but the data has {in_channels} channels"
        )
    return models.get_model(name, weights="DEFAULT", **{**options, **_PRETRAINED_OPTIONS.get(name, {})})
