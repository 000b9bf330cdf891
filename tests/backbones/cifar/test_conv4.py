"""The few-shot encoder, compared with a second implementation from the description in the papers."""

import pytest
import torch
from torch import nn

from peerdistill import Cohort, backbones
from peerdistill.errors import UserError


def reference_encoder(filters: int) -> nn.Sequential:
    layers = []
    for inputs in (3, filters, filters, filters):
        layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


@pytest.mark.parametrize(("name", "filters"), [("conv4", 64), ("conv4_128", 128)])
def test_is_four_blocks_of_convolution_norm_relu_and_pooling(name, filters):
    ours = Cohort(name, classes=5, peers=1, sharing="network", image_size=36).encoder()
    reference = reference_encoder(filters)
    # Both state_dicts are in the order of the forward pass.
    reference.load_state_dict(dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(3, 3, 36, 36)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference.eval()(images))


@pytest.mark.parametrize(("side", "width"), [(16, 64), (28, 64), (32, 256), (84, 1600)])
def test_feature_width_follows_from_the_image_size(side, width):
    cohort = Cohort("conv4", classes=7, peers=2, image_size=side)
    assert cohort.width == width
    with torch.no_grad():
        assert cohort(torch.randn(2, 3, side, side)).features.shape == (2, 2, width)


def test_the_encoder_of_omniglot_has_111936_parameters():
    encoder = Cohort("conv4", classes=4112, peers=1, sharing="network", in_channels=1, image_size=28).encoder()
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 111_936


def test_branches_share_the_first_two_blocks():
    cohort = Cohort("conv4", classes=3, peers=3, sharing="branch", image_size=28)
    assert cohort.copies == (1, 1, 3, 3)
    assert Cohort("conv4", classes=3, peers=4, sharing="tree", image_size=28).copies == (1, 1, 2, 4)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(UserError, match="image_size must be at least 16, found 15"):
        backbones.build("conv4", classes=3, image_size=15)
