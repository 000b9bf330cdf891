"""Stock networks of many families as peers; docs/backbones.md has a table of the results.

PEERDISTILL_WRITE_DOCS=1 writes the rows of that table. Only then is every network converted to ONNX, which takes 5 to
25 seconds each, and the largest one trained.
"""

import os
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from peerdistill import Cohort, UserError, backbones, deploy
from peerdistill.sharing import copies_per_stage

DOCS = Path(__file__).parents[2] / "docs" / "backbones.md"
WRITES_DOCS = bool(os.environ.get("PEERDISTILL_WRITE_DOCS"))
CLASSES = 10
# With the image side, small to be fast.
PEERS = {
    "torchvision:resnet18": 64,
    "torchvision:vgg11_bn": 32,
    "torchvision:densenet121": 64,
    "torchvision:googlenet": 64,
    "torchvision:mobilenet_v2": 64,
    "torchvision:mobilenet_v3_small": 64,
    "torchvision:efficientnet_b0": 64,
    "torchvision:shufflenet_v2_x0_5": 64,
    "torchvision:regnet_y_400mf": 64,
    "torchvision:convnext_tiny": 64,
    "torchvision:mnasnet0_5": 64,
    "torchvision:swin_t": 64,
    "timm:resnet10t": 64,
    "timm:mobilenetv3_small_050": 64,
    "timm:mobilenetv4_conv_small": 64,
    "timm:tinynet_e": 64,
    "timm:ghostnet_050": 64,
    "timm:regnetx_002": 64,
    "timm:convnext_atto": 64,
    "timm:efficientvit_b0": 64,
    "timm:hrnet_w18_small": 64,
    "timm:vit_tiny_patch16_224": 64,
    "timm:mixer_s32_224": 64,
    "timm:mobilevit_xxs": 64,
    "timm:maxvit_rmlp_pico_rw_256": 128,
}
LARGE = {"torchvision:vgg11_bn"}  # 129 million parameters; mobilenet_v3_small also has a classifier of several layers
TRIED = [name for name in PEERS if WRITES_DOCS or name not in LARGE]
# LayerNorm on channels, attention with a class token. The tests of deployment convert a ResNet.
SMALL = {"timm:test_convnext": 64, "timm:test_vit": 64}
CONVERTED = TRIED if WRITES_DOCS else list(SMALL)
WITHOUT_ONNX = {"timm:maxvit_rmlp_pico_rw_256": "Cannot view a tensor"}
# It adds the same value to all scores of a softmax, so its gradient is 0 up to rounding.
WITHOUT_GRADIENT = ".rel_pos.mlp.fc2.bias"
REFUSED = ("torchvision:squeezenet1_1", "timm:crossvit_tiny_240", "timm:deit_tiny_distilled_patch16_224")


def stock_of(name: str, side: int) -> nn.Module:
    """Make the network as users of the library do."""
    library, _, model = name.partition(":")
    if library == "timm":
        sized = {"img_size": side} if timm.get_pretrained_cfg(model).fixed_input_size else {}
        return timm.create_model(model, num_classes=CLASSES, **sized)
    aux = {"aux_logits": False, "init_weights": True} if model == "googlenet" else {}
    return models.get_model(model, num_classes=CLASSES, **aux)


def with_statistics(network: nn.Module, classifier: str, side: int) -> nn.Module:
    """Return the network with running statistics of random images and a classifier with nonzero weights."""
    nn.init.normal_(network.train().get_submodule(classifier).weight)
    norms = {module: module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    for norm in norms:
        norm.momentum = None  # cumulative mean over batches
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, side, side))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    return network.eval()


def by_stages(backbone, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    for stage in backbone.stages:
        images = stage(network, images)
    return network.get_submodule(backbone.classifier)(images.flatten(1))


def id_of(name: str) -> str:
    return name.replace(":", "-")


@pytest.fixture(scope="module", params=TRIED, ids=id_of)
def peer(request):
    """Return name, image side and backbone of each architecture."""
    side = {**PEERS, **SMALL}[request.param]
    return request.param, side, backbones.build(request.param, classes=CLASSES, image_size=side)


def test_stages_compute_the_stock_network(peer):
    name, side, backbone = peer
    stock = with_statistics(stock_of(name, side), backbone.classifier, side)
    staged = backbone.network()
    staged.load_state_dict(stock.state_dict(), strict=True)
    images = torch.randn(3, 3, side, side)
    for training in (False, True):
        with torch.no_grad():
            torch.manual_seed(0)
            expected = stock.train(training)(images)
            torch.manual_seed(0)
            assert torch.equal(by_stages(backbone, staged.train(training), images), expected)
    for after, expected_after in zip(staged.state_dict().values(), stock.state_dict().values(), strict=True):
        assert torch.equal(after, expected_after)


def test_branches_train_and_their_leader_is_the_stock_network(peer):
    name, side, backbone = peer
    cohort = Cohort(backbone, CLASSES, peers=2, sharing="branch")
    before = deepcopy(dict(cohort.named_parameters()))
    # Adam, because a layer scale of 1e-6 leaves gradients that would vanish in rounding with SGD.
    optimizer = torch.optim.Adam(cohort.parameters(), lr=1e-3, fused=True)
    images, labels = torch.randn(4, 3, side, side), torch.arange(4)
    for _ in range(2):  # layers below weights that start at 0 are only updated in the second step
        loss = sum(nn.functional.cross_entropy(logits, labels) for logits in cohort(images).logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    still = [path for path, parameter in cohort.named_parameters() if torch.equal(parameter, before[path])]
    assert [path for path in still if not path.endswith(WITHOUT_GRADIENT)] == []

    leader = cohort.leader()
    stock = stock_of(name, side).eval()
    stock.load_state_dict(leader.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(stock(images), cohort.eval()(images).logits[-1])


@pytest.mark.slow
@pytest.mark.parametrize("peer", CONVERTED, ids=id_of, indirect=True)
def test_onnx_agrees(peer, tmp_path):
    name, side, backbone = peer
    network = with_statistics(backbone.network(), backbone.classifier, side)
    card = deploy.LeaderCard(name, tuple(map(str, range(CLASSES))), side, 3, (0.5,) * 3, (0.25,) * 3, 1.0)
    pictures = torch.randint(256, (6, 3, side, side), dtype=torch.uint8)
    with torch.no_grad():
        assert network(pictures.float() / 128 - 1).std() > 0.01  # so that agreement means something
    refused = WITHOUT_ONNX.get(name)
    with pytest.raises(deploy.ExportError, match=refused) if refused else nullcontext():
        deploy.export(network, card, tmp_path / "leader.onnx", format="onnx", pictures=pictures)


def test_the_table_of_architectures_is_up_to_date(peer):
    name, _, backbone = peer
    millions = sum(parameter.numel() for parameter in backbone.network().parameters()) / 1e6
    tree = copies_per_stage(backbone, 4, "tree")
    check_documented(
        name,
        f"{millions:.2f}",
        f"`{backbone.share_until}`",
        f"{len(backbone.stages)}",
        "yes",
        "yes" if {1, 2, 4} <= set(tree) else "no",
        "no: PyTorch's exporter refuses it" if name in WITHOUT_ONNX else "yes",
    )


@pytest.mark.parametrize("name", REFUSED)
def test_the_table_of_refused_networks_is_up_to_date(name):
    with pytest.raises(UserError) as error:
        backbones.build(name, classes=CLASSES)
    check_documented(name, str(error.value).partition(name)[2].strip())


def check_documented(name: str, *columns: str) -> None:
    """Check a row of the table, or write it."""
    row = f"| {' | '.join((f'`{name}`', *columns))} |"
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    if WRITES_DOCS:
        heads = [number for number, line in enumerate(lines) if line.startswith("| architecture ")]
        table = next(number for number in heads if lines[number].count("|") == row.count("|"))
        end = next((number for number in range(table, len(lines)) if not lines[number].startswith("|")), len(lines))
        present = [number for number in range(table, end) if lines[number].startswith(f"| `{name}` |")]
        lines[slice(present[0], present[0] + 1) if present else slice(end, end)] = [row]
        DOCS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert row in DOCS.read_text(encoding="utf-8").splitlines()
