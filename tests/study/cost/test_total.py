"""Parameters, memory and time of a training."""

import json

import pytest
import torch

from peerdistill.config import Config
from peerdistill.errors import UserError
from peerdistill.study.cost import Sizes, cost, multiply_adds_of_steps
from peerdistill.study.cost import timing as cost_timing
from peerdistill.study.cost.memory import memory, memory_of
from peerdistill.study.cost.peers import peers_of

SIZES = Sizes(2_000, 20, image_size=32)


def costs(sizes=SIZES, measure=False, **options):
    names = {name.replace("__", "."): value for name, value in options.items()}
    return cost(Config.from_dict({"data": "cifar100", "backbone": "conv4", **names}), sizes, measure=measure)


def test_parameters_of_the_paper():
    found = costs(Sizes(50_000, 100, image_size=32), backbone="resnet32").parameters
    assert found == {"leader": 472_756, "cohort": 1_819_552, "method": 4 * (64 * 128 + 128), "teacher": 0}


def test_steps_and_whole_training():
    found = costs(batch_size=64, accumulate=4, epochs=3, method="baseline")
    assert found.batches_per_epoch == 31  # the last 16 images are left out
    assert found.steps == 3 * 8
    assert found.training == 3 * 31 * found.multiply_adds.total
    assert json.loads(json.dumps(found.as_dict()))["training"] == found.training


def test_memory_of_weights_gradients_and_optimizers():
    found = {
        name: costs(method="baseline", peers=1, optimizer__name=name, optimizer__momentum=momentum).memory
        for name, momentum in (("sgd", 0.9), ("lion", 0.9), ("adamw", 0.9), ("adafactor", 0.9))
    }
    learned = 4 * costs(method="baseline", peers=1).parameters["leader"]
    for kept in found.values():
        assert kept.gradients == learned < kept.weights < 1.1 * learned  # with statistics of batch normalisation
        assert kept.total == sum(
            [kept.weights, kept.gradients, kept.optimizer or 0, kept.activations, *kept.buffers.values()]
        )
    assert (found["sgd"].optimizer, found["lion"].optimizer) == (learned, learned)
    assert found["adamw"].optimizer == pytest.approx(2 * learned, rel=0.01)  # and a counter for each tensor
    assert found["adafactor"].optimizer < 0.5 * learned  # rows and columns instead of matrices
    assert costs(method="baseline", peers=1, optimizer__momentum=0.0).memory.optimizer == 0


def test_memory_bank():
    banks = {name: costs(contrast__bank_dtype=name).memory.buffers["contrast"] for name in ("float32", "bfloat16")}
    assert banks["float32"] - banks["bfloat16"] == 4 * 2_000 * 128 * 2
    assert banks["bfloat16"] == pytest.approx(4 * 2_000 * 128 * 2, rel=0.02)  # and the labels


def test_activations_grow_with_the_batch_and_the_peers():
    one, double = (costs(method="baseline", peers=1, batch_size=size).memory.activations for size in (8, 16))
    assert double == pytest.approx(2 * one, rel=0.01)
    four = costs(method="baseline", peers=4, sharing="network", batch_size=8).memory.activations
    images = 4 * 8 * 3 * 32 * 32  # shared by all peers
    assert four - images == pytest.approx(4 * (one - images), rel=0.01)


def test_memory_without_data_is_that_of_tensors_with_data():
    config = Config.from_dict({"data": "cifar100", "backbone": "conv4", "peers": 2, "batch_size": 8})
    assert memory_of(peers_of(config, SIZES, torch.device("cpu")), config) == memory(config, SIZES)


def test_average_of_weights_takes_the_memory_of_a_leader():
    without, with_ema = (costs(method="baseline", peers=2, ema=ema).memory.weights for ema in (0.0, 0.99))
    leader = costs(method="baseline", peers=1).memory.weights
    assert with_ema - without == leader


def test_batches_larger_than_the_data():
    with pytest.raises(UserError, match="at most the number of training images, 2000, found 4096"):
        costs(batch_size=4096)


def test_a_step_is_measured_beside_the_computed_one():
    found = costs(Sizes(64, 4, image_size=16), measure=True, batch_size=8, peers=2).timing
    assert found is not None
    assert found.measured is not None
    assert 0 < found.measured < cost_timing.LONGEST_STEP_S
    assert found.network_batch == 8
    total = costs(Sizes(64, 4, image_size=16), batch_size=8, peers=2).multiply_adds.total
    assert found.computed == pytest.approx(total / found.per_second)
    assert found.reason == ""


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [("LONGEST_STEP_S", 0.0, "more than 0 s"), ("_MOST_MEMORY", 0.0, "GiB of memory")],
)
def test_what_is_too_large_is_not_measured(monkeypatch, limit, value, reason):
    monkeypatch.setattr(cost_timing, limit, value)
    found = costs(Sizes(64, 4, image_size=16), measure=True, batch_size=8, peers=2).timing
    assert found is not None
    assert found.measured is None
    assert reason in found.reason
    assert found.computed > 0


def test_steps_of_the_leader_alone_cost_what_they_cost():
    options = {"data": "cifar100", "backbone": "resnet8", "peers": 2, "epochs": 10, "batch_size": 50}
    late = {**options, "growth": {"start": 0.3}, "distill_every": 2}
    sizes = Sizes(500, 10, image_size=32)
    plain, found = (cost(Config.from_dict(given), sizes, measure=False) for given in (options, late))
    each = plain.multiply_adds
    assert (plain.leader_steps, found.leader_steps) == (0, 30 + 35)  # of 10 epochs with 10 steps
    assert found.training == 65 * each.alone + 35 * each.total
    assert found.training == multiply_adds_of_steps(Config.from_dict(late), sizes, 100, 10)
    assert found.ratio == found.training / (100 * each.alone)
