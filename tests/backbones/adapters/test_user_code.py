import sys

import pytest
import torch

from peerdistill import Cohort, backbones
from peerdistill.errors import UserError

MODULE = """
from torch import nn
from peerdistill.backbones import Backbone, Stage

def body(channels):
    return [nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]

def tiny(num_classes, in_chans=3):
    return nn.Sequential(*body(in_chans), nn.Linear(8, num_classes))

def rgb_only(classes):
    return nn.Sequential(*body(3), nn.Linear(8, classes))

def two_heads(classes, in_channels):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc, self.other = nn.Sequential(*body(in_channels)), nn.Linear(8, classes), nn.Linear(8, 2)
        def forward(self, x):
            return self.fc(self.body(x))
    return Net()

def staged(classes, in_channels):
    make = lambda: nn.Sequential(*body(in_channels), nn.Linear(8, classes))
    return Backbone("staged", make, (Stage("all", ("0", "1", "2", "3", "4")),), classifier="5", share_until="all")

def nothing(classes): ...
def no_classes(width): ...
number = 3
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mynets", None)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_function_in_the_current_folder_is_found(channels):
    backbone = backbones.build("mynets:tiny", classes=4, in_channels=channels, image_size=16)
    assert backbone.name == "mynets:tiny"
    assert backbone.classifier == "5"
    cohort = Cohort(backbone, 4, peers=2, sharing="branch", share_until="0")
    assert cohort(torch.randn(2, channels, 16, 16)).logits.shape == (2, 2, 4)
    assert cohort.networks[0][0] is cohort.networks[1][0]


def test_sys_path_is_unchanged():
    before = list(sys.path)
    backbones.build("mynets:tiny", classes=4, image_size=16)
    assert sys.path == before


def test_a_classifier_can_be_named():
    assert backbones.build("mynets:two_heads", classes=4, image_size=16, classifier="fc").classifier == "fc"


def test_a_returned_backbone_is_used_unchanged():
    assert backbones.build("mynets:staged", classes=4).name == "staged"


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        (
            "nonets:tiny",
            3,
            "backbone nonets:tiny: there is no module nonets in the current folder",
        ),
        ("mynets:huge", 3, "backbone mynets:huge: mynets has no function 'huge'"),
        ("mynets:number", 3, "backbone mynets:number: mynets has no function 'number'"),
        ("mynets:no_classes", 3, r"needs a parameter 'classes' or 'num_classes', found \['width'\]"),
        ("mynets:rgb_only", 1, "needs a parameter 'in_channels' or 'in_chans': the images have 1 channels"),
        ("mynets:nothing", 3, "backbone mynets:nothing must return a module or a Backbone, found NoneType"),
    ],
)
def test_functions_that_make_no_backbone_are_refused(name, channels, message):
    with pytest.raises(UserError, match=message):
        backbones.build(name, classes=4, in_channels=channels, image_size=16)
