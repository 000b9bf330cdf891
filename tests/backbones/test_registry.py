import pytest

from peerdistill import backbones


def test_a_name_can_be_registered_only_once():
    backbones.build("resnet8", classes=3)  # imports the file that registers it

    def resnet8(classes, in_channels):
        raise AssertionError

    with pytest.raises(ValueError, match=r"resnet8 is registered in peerdistill\.backbones\.cifar\.resnet and in "):
        backbones.register(resnet8)


def test_the_decorator_returns_the_function():
    def only_here(classes, in_channels):
        raise AssertionError

    assert backbones.register(only_here) is only_here
