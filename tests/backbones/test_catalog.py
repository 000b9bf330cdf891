"""Every backbone of the catalogue keeps the promises of a backbone."""

from copy import deepcopy

import pytest
import torch
from torchvision import models

from peerdistill import Cohort, backbones
from peerdistill.errors import UserError

TORCHVISION = ("resnet18", "resnet34", "resnet50")
OF_ONE_SIZE = ("conv4", "conv4_128")


def images_for(name, channels=3):
    side = 64 if name in TORCHVISION else 32
    return torch.randn(2, channels, side, side)


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
    with torch.device("meta"):  # counted without being filled
        assert parameter_count(backbones.build(name, classes=100).network()) == alone
        assert parameter_count(Cohort(name, classes=100, peers=4, sharing="branch")) == four_branches


@pytest.mark.parametrize("name", backbones.names())
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_stages_and_classifier_are_the_stock_forward(name, training):
    backbone = backbones.build(name, classes=7)
    stock = backbone.network()
    with torch.no_grad():
        stock(images_for(name))  # running statistics that say something
    staged = deepcopy(stock)
    images = images_for(name)
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
def test_stock_of_torchvision_is_torchvisions_own(name):
    network = backbones.build(name, classes=7).network().eval()
    stock = models.get_model(name, num_classes=7).eval()
    stock.load_state_dict(network.state_dict(), strict=True)
    images = images_for(name)
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
    images = images_for(name, channels=1)
    with torch.no_grad():
        logits = network(images)
        assert logits.shape == (2, 7)
        assert torch.equal(by_stages(backbone, network, images), logits)


@pytest.mark.parametrize("name", [name for name in backbones.names() if name not in (*TORCHVISION, *OF_ONE_SIZE)])
@pytest.mark.parametrize("side", [8, 9, 28])
def test_small_and_odd_images(name, side):
    network = backbones.build(name, classes=10, in_channels=1).network().eval()
    with torch.no_grad():
        assert network(torch.randn(2, 1, side, side)).isfinite().all()


@pytest.mark.parametrize("name", backbones.names())
def test_fresh_weights_at_every_call(name):
    backbone = backbones.build(name, classes=7)
    first, second = backbone.network().parameters(), backbone.network().parameters()
    assert not torch.equal(next(first), next(second))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet31", "resnet32"), ("vgg_16", "vgg16"), ("densenet", "densenet40_12"), ("xyzzy", "choose from")],
)
def test_unknown_name_tells_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"unknown backbone '{name}': .*{nearest}"):
        backbones.build(name, classes=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, found 1"),
        ({"classes": 10, "in_channels": 0}, "in_channels must be at least 1, found 0"),
    ],
)
def test_sizes_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        backbones.build("resnet20", **options)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet18", "resnet18"),  # timm and torchvision have one too
        ("resnet10t", "timm:resnet10t"),
        ("mobilenetv3_small_050.lamb_in1k", "timm:mobilenetv3_small_050.lamb_in1k"),
        ("convnext_tiny", "timm:convnext_tiny"),  # torchvision has one too
        ("torchvision:convnext_tiny", "torchvision:convnext_tiny"),
        ("shufflenet_v2_x0_5", "torchvision:shufflenet_v2_x0_5"),
        ("package.module:function", "package.module:function"),
    ],
)
def test_where_a_name_is_found(name, found):
    assert backbones.resolve(name) == found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm:resnet10", "unknown backbone 'timm:resnet10': did you mean"),
        ("torchvision:resnet10t", "unknown backbone 'torchvision:resnet10t': did you mean"),
        ("edgenext_xx_smal", "edgenext_xx_small"),
    ],
)
def test_a_name_that_is_nowhere(name, told):
    with pytest.raises(UserError, match=told):
        backbones.resolve(name)


def test_the_classifier_of_a_known_network_is_not_named():
    with pytest.raises(UserError, match="the classifier of resnet20 is known: 'classifier' goes with package"):
        backbones.build("resnet20", classes=10, classifier="fc")


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:mobilenetv3_small_050"])
def test_grey_images_of_a_library(name):
    backbone = backbones.build(name, classes=3, in_channels=1, image_size=32)
    assert backbone.image_shape == (1, 32, 32)
    with torch.no_grad():
        assert backbone.network().eval()(torch.randn(2, 1, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("name", ["torchvision:vit_b_32", "timm:vit_tiny_patch16_224"])
def test_networks_for_one_size_are_made_for_the_datas(name):
    network = backbones.build(name, classes=3, image_size=96).network().to("meta")
    assert network(torch.zeros(1, 3, 96, 96, device="meta")).shape == (1, 3)


def test_torchvisions_weights_are_for_rgb_images():
    backbone = backbones.build("resnet18", classes=3, in_channels=1)
    assert backbone.pretrained is not None
    with pytest.raises(UserError, match="the weights of torchvision:resnet18 take RGB images, the data has 1 channels"):
        backbone.pretrained()
