"""HCGNet (Yang et al., AAAI 2020) for 32 x 32 images: dense connections between gated residual modules.

Structure and widths follow the released code. There the update gate mixes the pooled contexts of two scales, so it adds
the same value at every position.

Axes: B batch, P positions of the image, C channels, S scales.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.cifar import densenet
from peerdistill.backbones.convolutions import preactivated
from peerdistill.backbones.initialisation import PYTORCH
from peerdistill.backbones.registry import register

_SQUEEZE = 4
_DILATIONS = (1, 2)


class _Context(nn.Module):
    """Mean over all positions, weighted by the softmax of a learned score."""

    def __init__(self, channels: int):
        super().__init__()
        self.score = nn.Linear(channels, 1)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels"]:
        x_BPC = x.flatten(2).mT
        weights_BP1 = self.score(x_BPC).softmax(1)
        return (weights_BP1 * x_BPC).sum(1)


def _narrowed(inputs: int, inner: int, outputs: int) -> list[nn.Module]:
    """Return the two linear layers of a gate."""
    return [nn.Linear(inputs, inner), nn.BatchNorm1d(inner), nn.Tanh(), nn.Linear(inner, outputs)]


class _Update(nn.Module):
    """Mixes, per channel, the contexts of depthwise convolutions at several scales."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(*preactivated(channels, channels, 3, groups=channels, dilation=dilation), _Context(channels))
            for dilation in _DILATIONS
        )
        width = len(_DILATIONS) * channels
        self.gate = nn.Sequential(
            *_narrowed(width, width // reduction, width), nn.Unflatten(1, (-1, channels)), nn.Softmax(1)
        )

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels"]:
        contexts_BSC = torch.stack([scale(x) for scale in self.scales], dim=1)
        return (self.gate(contexts_BSC.flatten(1)) * contexts_BSC).sum(1)


class _Gated(nn.Module):
    """``forget(x) * x + update(x)``: both gates have one value per image and channel."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        gate = _narrowed(channels, channels // reduction, channels)
        self.forget = nn.Sequential(_Context(channels), *gate, nn.Sigmoid())
        self.update = _Update(channels, reduction)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
        return self.forget(x)[..., None, None] * x + self.update(x)[..., None, None]


def _layer(inputs: int, growth: int) -> list[nn.Module]:
    """Return an SMG module: two squeezing convolutions, then the gates."""
    inner = _SQUEEZE * growth
    squeeze = [*preactivated(inputs, inner, 1), *preactivated(inner, growth, 3, groups=4)]
    return [*squeeze, _Gated(growth, reduction=2)]


def _transition(inputs: int, outputs: int) -> list[nn.Module]:
    inner = inputs - (inputs - outputs) // 2
    squeeze = [*preactivated(inputs, inner, 1), *preactivated(inner, outputs, 3, stride=2)]
    return [*squeeze, _Gated(outputs, reduction=4)]


@register
def hcgnet_a1(classes: int, in_channels: int) -> Backbone:
    """Three blocks of 8 modules, growth 12, 24, 36: 1,102,651 parameters at 100 classes.

    The gates apply BatchNorm1d to one vector per image, so training needs at least 2 images per batch.
    """
    build = partial(densenet.network, _layer, _transition, (12, 24, 36), 8, classes, in_channels, PYTORCH)
    return sequential.backbone("hcgnet_a1", build, densenet.STAGES, share_until="block1", in_channels=in_channels)
