"""Properties that every backbone in the catalog has."""

import sys
from copy import deepcopy

import pytest
import torch
from torchvision import models

from peerdistill import Cohort, backbones
from peerdistill.backbones import catalog, cifar
from peerdistill.errors import UserError

TORCHVISION = ("resnet18", "resnet34", "resnet50")
OF_ONE_SIZE = ("conv4", "conv4_128")


def images_for(channels=3):
    return torch.randn(2, channels, 32, 32)


def by_stages(backbone, network, images):
    for stage in backbone.stages:
        images = stage(network, images)
    return network.get_submodule(backbone.classifier)(images.flatten(1))


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "alone", "four_branches"),
    [
        ("resnet32", 472_756, 1_819_552),
        ("resnet110", 1_170_868, 4_517_344),
        ("vgg16", 14_774_436, 53_884_368),
        ("densenet40_12", 188_092, 592_384),
        ("hcgnet_a1", 1_102_651, 4_057_426),
    ],
)
def test_parameter_counts_at_100_classes(name, alone, four_branches):
    with torch.device("meta"):  # no memory is allocated
        assert parameter_count(backbones.build(name, classes=100).network()) == alone
        assert parameter_count(Cohort(name, classes=100, peers=4, sharing="branch")) == four_branches


@pytest.mark.parametrize("name", backbones.names())
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_stages_and_classifier_compute_the_stock_forward_pass(name, training):
    backbone = backbones.build(name, classes=7)
    stock = backbone.network()
    with torch.no_grad():
        stock(images_for())  # running statistics other than 0 and 1
    staged = deepcopy(stock)
    images = images_for()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        expected = stock.train(training)(images)
        torch.manual_seed(1)
        logits = by_stages(backbone, staged.train(training), images)
    assert expected.shape == (2, 7)
    assert torch.equal(logits, expected)
    for after, expected_after in zip(staged.state_dict().values(), stock.state_dict().values(), strict=True):
        assert torch.equal(after, expected_after)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_resnets_are_torchvisions_networks(name):
    network = backbones.build(name, classes=7).network().eval()
    stock = models.get_model(name, num_classes=7).eval()
    stock.load_state_dict(network.state_dict(), strict=True)
    images = images_for()
    with torch.no_grad():
        assert torch.equal(network(images), stock(images))


@pytest.mark.parametrize("name", backbones.names())
def test_stages_and_classifier_hold_every_parameter_once(name):
    backbone = backbones.build(name, classes=7)
    with torch.device("meta"):
        network = backbone.network()
    parts = [module for stage in backbone.stages for module in stage.modules] + [backbone.classifier]
    held = [id(p) for part in parts for p in network.get_submodule(part).parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("name", backbones.names())
def test_share_until_names_a_stage_before_the_last(name):
    backbone = backbones.build(name, classes=7)
    assert backbone.name == name
    assert backbone.share_until in [stage.name for stage in backbone.stages[:-1]]


@pytest.mark.parametrize("name", backbones.names())
def test_grey_images(name):
    backbone = backbones.build(name, classes=7, in_channels=1)
    network = backbone.network().eval()
    images = images_for(channels=1)
    with torch.no_grad():
        logits = network(images)
        assert logits.shape == (2, 7)
        assert torch.equal(by_stages(backbone, network, images), logits)


@pytest.mark.parametrize("name", [name for name in backbones.names() if name not in (*TORCHVISION, *OF_ONE_SIZE)])
@pytest.mark.parametrize("side", [8, 9])
def test_small_and_odd_images(name, side):
    network = backbones.build(name, classes=10, in_channels=1).network().eval()
    with torch.no_grad():
        assert network(torch.randn(2, 1, side, side)).isfinite().all()


@pytest.mark.parametrize("name", backbones.names())
def test_every_call_draws_fresh_weights(name):
    backbone = backbones.build(name, classes=7)
    first, second = backbone.network().parameters(), backbone.network().parameters()
    assert not torch.equal(next(first), next(second))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet31", "resnet32"), ("vgg_16", "vgg16"), ("densenet", "densenet40_12"), ("xyzzy", "choose from")],
)
def test_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"unknown backbone '{name}': .*{nearest}"):
        backbones.build(name, classes=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, found 1"),
        ({"classes": 10, "in_channels": 0}, "in_channels must be at least 1, found 0"),
    ],
)
def test_sizes_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        backbones.build("resnet20", **options)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet18", "resnet18"),  # also in timm and torchvision
        ("resnet10t", "timm:resnet10t"),
        ("mobilenetv3_small_050.lamb_in1k", "timm:mobilenetv3_small_050.lamb_in1k"),
        ("convnext_tiny", "timm:convnext_tiny"),  # also in torchvision
        ("torchvision:convnext_tiny", "torchvision:convnext_tiny"),
        ("shufflenet_v2_x0_5", "torchvision:shufflenet_v2_x0_5"),
        ("package.module:function", "package.module:function"),
    ],
)
def test_resolve_returns_the_full_name(name, found):
    assert backbones.resolve(name) == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet10", "unknown backbone 'timm:resnet10': did you mean"),
        ("torchvision:resnet10t", "unknown backbone 'torchvision:resnet10t': did you mean"),
        ("edgenext_xx_smal", "edgenext_xx_small"),
    ],
)
def test_resolve_suggests_names_of_libraries(name, message):
    with pytest.raises(UserError, match=message):
        backbones.resolve(name)


def test_the_classifier_can_be_named_only_for_user_code():
    with pytest.raises(UserError, match=r"'classifier' applies only to your own backbones .* of resnet20 is known"):
        backbones.build("resnet20", classes=10, classifier="fc")


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:mobilenetv3_small_050"])
def test_grey_images_for_library_models(name):
    backbone = backbones.build(name, classes=3, in_channels=1, image_size=32)
    assert backbone.image_shape == (1, 32, 32)
    with torch.no_grad():
        assert backbone.network().eval()(torch.randn(2, 1, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("name", ["torchvision:vit_b_32", "timm:vit_tiny_patch16_224"])
def test_networks_with_a_fixed_input_size_get_the_data_s(name):
    with torch.device("meta"):  # no weights are drawn
        network = backbones.build(name, classes=3, image_size=96).network()
        assert network(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "torchvision:resnet18", "torchvision:efficientnet_b3", "torchvision:inception_v3", "regnet_y_16gf"],
)
def test_torchvision_says_which_images_its_weights_expect(name):
    transform = models.get_model_weights(name.removeprefix("torchvision:"))["DEFAULT"].transforms()
    found = backbones.pretrained_input(name)
    assert found is not None
    assert (list(found.mean), list(found.std)) == (transform.mean, transform.std)
    assert [found.image_size] == transform.crop_size
    assert [round(found.image_size / found.crop)] == transform.resize_size
    assert found.interpolation == transform.interpolation.value


def test_timm_says_which_images_its_weights_expect():
    found = backbones.pretrained_input("timm:vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert found == backbones.PretrainedInput(224, (0.5,) * 3, (0.5,) * 3, 224 / 248, "bicubic")


@pytest.mark.parametrize("name", ["resnet20", "some_module:function"])
def test_other_backbones_have_no_pretrained_weights(name):
    assert backbones.pretrained_input(name) is None


def test_pretrained_weights_of_torchvision_need_rgb_images():
    backbone = backbones.build("resnet18", classes=3, in_channels=1)
    assert backbone.pretrained is not None
    with pytest.raises(UserError, match="weights of torchvision:resnet18 need RGB images, but the data has 1 channels"):
        backbone.pretrained()


FAMILY = """
from torch import nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.registry import register


def helper(classes, in_channels):
    return sequential.network({"stem": nn.Conv2d(in_channels, 8, 3)}, 8, classes, initialisation.PYTORCH)


@register
def plain8(classes, in_channels):
    return sequential.backbone("plain8", lambda: helper(classes, in_channels), ("stem",), "stem", in_channels)


@register
def sized8(classes, in_channels, image_size=20):
    backbone = sequential.backbone("sized8", lambda: helper(classes, in_channels), ("stem",), "stem", in_channels)
    return type(backbone)(**vars(backbone) | {"image_shape": (in_channels, image_size, image_size)})
"""


@pytest.fixture
def family_in_a_file(tmp_path, monkeypatch):
    """One more file in the folder of the CIFAR families; nothing else is changed."""
    (tmp_path / "plain.py").write_text(FAMILY)
    monkeypatch.setattr(cifar, "__path__", [*cifar.__path__, str(tmp_path)])
    catalog.discover.cache_clear()
    yield
    catalog.discover.cache_clear()
    sys.modules.pop("peerdistill.backbones.cifar.plain", None)


def test_a_family_is_added_by_one_file(family_in_a_file):
    assert {"plain8", "sized8"} <= set(backbones.names())
    assert "helper" not in backbones.names()
    assert backbones.resolve("plain8") == "plain8"
    cohort = Cohort("plain8", classes=4, peers=2, sharing="network")
    assert cohort(torch.randn(3, 3, 16, 16)).logits.shape == (2, 3, 4)
    with pytest.raises(UserError, match="did you mean plain8"):
        backbones.build("plain9", classes=4)


def test_a_registered_function_gets_the_image_size_if_it_has_a_parameter_for_it(family_in_a_file):
    assert backbones.build("sized8", classes=4).image_shape == (3, 20, 20)
    assert backbones.build("sized8", classes=4, image_size=24).image_shape == (3, 24, 24)
    assert backbones.build("plain8", classes=4, image_size=24).image_shape == (3, 32, 32)
