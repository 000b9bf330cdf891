"""The classifiers of torchvision as backbones; a leader's ``state_dict`` is torchvision's own."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn
from torchvision import models

from peerdistill.backbones.backbone import USUAL_SIZE, Backbone
from peerdistill.backbones.splitting import split
from peerdistill.errors import UserError

# Their number of tokens depends on the image, which is called so.
_SIZES = {"vit_": "image_size", "maxvit_": "input_size"}
# They return several tensors in training otherwise, and warn of weights drawn another way in future versions.
_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}
# The weights that torchvision offers for these were trained with their further outputs.
_PRETRAINED_OPTIONS: dict[str, dict[str, Any]] = {name: {"aux_logits": True} for name in ("googlenet", "inception_v3")}


def names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return models.list_models(module=models)


def backbone(name: str, classes: int, in_channels: int, image_size: int | None) -> Backbone:
    """Return the torchvision classifier ``name``; its last linear layer is the classifier."""
    size = image_size or USUAL_SIZE
    options = dict(_OPTIONS.get(name, {}))
    for beginning, option in _SIZES.items():
        if name.startswith(beginning):
            options[option] = (size, size) if option == "input_size" else size
    make = partial(network, name, classes, in_channels, **options)
    return replace(
        split(f"torchvision:{name}", make, None, (in_channels, size, size)),
        pretrained=partial(pretrained, name, in_channels, **options),
    )


def network(name: str, classes: int, in_channels: int, **options: Any) -> nn.Module:
    """Return a torchvision network with fresh weights, its first convolution made for so many channels."""
    made = models.get_model(name, weights=None, num_classes=classes, **options)
    if in_channels != 3:
        path, first = next((path, module) for path, module in made.named_modules() if isinstance(module, nn.Conv2d))
        same = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        given = {attribute: getattr(first, attribute) for attribute in same}
        fresh = nn.Conv2d(in_channels, **given, bias=first.bias is not None)
        nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
        made.set_submodule(path, fresh)
    return made


def pretrained(name: str, in_channels: int, **options: Any) -> nn.Module:
    """Return a torchvision network with the weights that torchvision offers, for 1000 classes."""
    if in_channels != 3:
        raise UserError(f"the weights of torchvision:{name} take RGB images, the data has {in_channels} channels")
    return models.get_model(name, weights="DEFAULT", **{**options, **_PRETRAINED_OPTIONS.get(name, {})})
