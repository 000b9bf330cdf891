"""A network without batch normalisation, whose statistics several processes do not exchange on CPUs."""

from collections import OrderedDict

from torch import nn


def network(classes: int, in_channels: int) -> nn.Module:
    layers = {
        "stem": nn.Sequential(nn.Conv2d(in_channels, 8, 3), nn.ReLU()),
        "body": nn.Sequential(nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
        "pool": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    return nn.Sequential(OrderedDict(**layers, fc=nn.Linear(16, classes)))
