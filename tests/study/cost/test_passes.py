"""Multiply-adds against closed forms, and against the figures of the paper."""

import math
import sys

import pytest
import torch

from peerdistill import backbones
from peerdistill.config import Config
from peerdistill.errors import UserError
from peerdistill.study.cost import Sizes, cost, multiply_adds, multiply_adds_per_step
from peerdistill.study.cost.passes import count

CIFAR = Sizes(50_000, 100, image_size=32)
IMAGENET = Sizes(1_281_167, 1000, image_size=224)
NEGATIVES, EMBEDDING = 16_384, 128


def config(**options) -> Config:
    names = {name.replace("__", "."): value for name, value in options.items()}
    return Config.from_dict({"data": "cifar100", "backbone": "conv4", **names})


@pytest.mark.parametrize(
    ("backbone", "millions"),
    [("resnet32", 69.1), ("resnet110", 167.5), ("vgg16", 313.2), ("densenet40_12", 72.4), ("hcgnet_a1", 154.3)],
)
def test_networks_have_the_multiply_adds_of_the_paper(backbone, millions):
    with torch.device("meta"), torch.no_grad():
        network = backbones.build(backbone, classes=100).network().eval()
        with multiply_adds() as found:
            network(torch.empty(1, 3, 32, 32))
    assert found.total == pytest.approx(millions * 1e6, abs=5e4)


def test_a_network_alone():
    found = count(config(backbone="resnet32", method="baseline", peers=1, batch_size=2), CIFAR)
    assert found.network / 2 == pytest.approx(69.1e6, abs=5e4)
    assert found.forward == {"peers": found.network}
    # Each product of the forward pass has two in the backward pass, but images need no gradient.
    first = 32 * 32 * 3 * 3 * 3 * 16
    assert found.peers_backward == found.network_backward == 2 * (found.network - first)
    assert (found.method_backward, found.total) == (0, found.alone)


@pytest.fixture(scope="module")
def imagenet():
    """Section 4.1 of the paper: ResNet-34, four networks, batches of 128 images."""
    options = config(backbone="resnet34", sharing="network", batch_size=128, epochs=100)
    return cost(options, IMAGENET, measure=False)


def test_four_networks_for_imagenet_have_the_multiply_adds_of_the_paper(imagenet):
    counted = imagenet.multiply_adds
    assert counted.forward["peers"] / 128 == pytest.approx(14.7e9, rel=0.005)
    assert imagenet.training == 100 * (1_281_167 // 128) * counted.total


def test_the_contrast_for_imagenet_is_that_of_62_images_in_the_paper(imagenet):
    scores = 12 * NEGATIVES * EMBEDDING  # of one image: all ordered pairs of four peers
    # Scores, their gradient, and the heads and the update of the bank, which are small.
    assert imagenet.multiply_adds.forward["contrast"] / 128 == pytest.approx(2 * scores, rel=0.01)
    assert 1.56e9 / scores == pytest.approx(62, abs=0.1)


def test_the_memory_bank_for_imagenet_has_the_size_of_the_paper(imagenet):
    mib = imagenet.memory.buffers["contrast"] / 2**20
    assert mib / 4 == pytest.approx(600, rel=0.06)
    assert mib / 2**10 == pytest.approx(2.4, rel=0.03)


@pytest.mark.parametrize(
    ("options", "samples", "keys", "products"),
    [
        ({"negatives": "own", "count": 16}, 200, 16, 2),  # few of many: their rows are gathered
        ({"negatives": "own", "count": 50}, 200, 200, 2),  # the whole bank
        ({"negatives": "own", "count": 50, "replacement": False}, 200, 200, 2),
        ({"negatives": "own", "count": 16, "objective": "softmax"}, 200, 16, 2),
        ({"negatives": "own", "count": 16, "normaliser": "batch"}, 200, 16, 3),  # Z needs all scores first
        ({"negatives": "shared", "count": 16}, 200, 16, 2),
        ({"negatives": "all"}, 200, 200, 2),
        ({"negatives": "queue", "count": 50}, 200, 50, 2),
    ],
)
@pytest.mark.parametrize(("views", "pairs"), [("full", 6), ("core", 4)])
def test_contrast_against_its_closed_form(options, samples, keys, products, views, pairs):
    batch, width, embedding = 8, 64, 12
    contrast = {f"contrast__{name}": value for name, value in {**options, "views": views, "width": embedding}.items()}
    found = count(config(peers=3, batch_size=batch, **contrast), Sizes(samples, 5, image_size=16))
    heads = 3 * batch * width * embedding
    update = 0 if options["negatives"] == "queue" else 3 * batch * batch * embedding
    assert found.forward["contrast"] == heads + update + products * pairs * batch * keys * embedding
    assert found.method_backward == 2 * heads


def test_scores_count_once_whatever_the_size_of_the_batch():
    per_image = {
        size: count(config(batch_size=size), CIFAR).forward["contrast"] / size
        for size in (16, 4096)  # the scores of 4,096 images do not fit into the memory that is kept for them
    }
    update = 4 * EMBEDDING * (4096 - 16)
    assert per_image[4096] == per_image[16] + update


def test_gate_attention_and_concatenated_features():
    of = {
        name: count(config(backbone="resnet8", method=name, peers=4, batch_size=2), CIFAR).forward
        for name in ("one", "okddip", "pcl", "dml")
    }
    assert of["one"]["ensemble"] == 2 * (32 * 4 + 4 * 100)  # of the late stem's 32 channels to 4 weights; the mean
    query_and_key, scores = 2 * 3 * 64 * 8, 3 * 3 * 8
    assert of["okddip"]["attention"] == 2 * (query_and_key + scores)
    assert of["pcl"]["ensemble"] == 2 * (4 * 64 * 100)
    assert of["pcl"]["means"] == of["pcl"]["peers"]  # the averages of the peers see the same images
    assert list(of["dml"]) == ["peers"]


def test_frozen_stages_have_no_backward_pass():
    found = count(config(backbone="resnet8", freeze_until="layer3", weights="unused", batch_size=2), CIFAR)
    assert found.network_backward == 2 * 64 * 100  # the weights of the classifier
    assert found.peers_backward == 4 * found.network_backward


def test_only_clean_images_reach_the_contrast():
    mixed = config(batch_size=8, mix={"mixup": 0.2, "share": 0.5})
    assert count(mixed, CIFAR).forward["contrast"] < 0.51 * count(config(batch_size=8), CIFAR).forward["contrast"]


def test_a_step_of_accumulated_batches():
    options = {"batch_size": 4, "method": "baseline"}
    one, three = (multiply_adds_per_step(config(**options, accumulate=n), CIFAR) for n in (1, 3))
    assert (one, three) == (count(config(**options), CIFAR).total, 3 * one)


def test_counts_are_kept_for_options_that_do_not_change_them():
    first = count(config(batch_size=4, epochs=3, seed=1, lr=0.1), CIFAR)
    assert count(config(batch_size=4, epochs=5, seed=2, lr=0.2), CIFAR) is first
    assert count(config(batch_size=5), CIFAR) is not first
    assert count(config(batch_size=4), Sizes(10_000, 100, 32)) is not first


def test_few_shot_episodes():
    options = {"kind": "episodes", "data": "omniglot", "method": "baseline", "ways": 3, "shots": 1, "queries": 2}
    found = count(Config.from_dict({**options, "backbone": "conv4", "peers": 2}), Sizes(200, 10, 28, channels=1))
    assert found.batch == 9
    assert found.forward["prototypical"] == 2 * (6 * 64 * 3)  # peers; queries, width and prototypes


def test_a_batch_that_is_too_small_for_batch_normalisation():
    with pytest.raises(UserError, match="at least 2 for a network with batch normalisation"):
        count(config(batch_size=1), CIFAR)


OWN_METHOD = """
import torch
from torch import nn
from peerdistill.terms import CrossEntropy, Method, Weighted

class Reads(nn.Module):
    def forward(self, out, batch):
        rows = batch.labels.tolist()  # needs data
        return (out.features[0] @ out.features[0].T).mean() * (len(rows) > 0)

def reads(cohort, train_labels):
    return Method([Weighted("cross_entropy", 1.0, CrossEntropy()), Weighted("reads", 1.0, Reads())])
"""


def test_a_method_that_reads_values_is_counted_with_data(tmp_path, monkeypatch):
    (tmp_path / "reading.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "reading", raising=False)
    found = count(config(method="reading:reads", peers=2, batch_size=4), Sizes(50, 10, image_size=16))
    assert found.forward["reads"] == math.prod((4, 64, 4))
    assert found.method_backward == 2 * math.prod((4, 64, 4))
