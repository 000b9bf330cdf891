"""Peers that start late, and steps in which only the leader learns, against plain loops of one network."""

from collections import OrderedDict
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

from peerdistill import Cohort, methods
from peerdistill.backbones import Backbone, Stage
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.rng import random_state
from peerdistill.terms import Criterion, CrossEntropy, EnsembleToLeader, Method, Ramp, Weighted
from peerdistill.training import GrowthConfig, Interrupted, ScheduleConfig, TrainingConfig
from peerdistill.training.growth import LeaderSteps, grow_peers

CONSTANT = {"lr": 0.1, "schedule": ScheduleConfig("constant"), "memory_format": "contiguous"}
LATE = GrowthConfig(start=0.5)


def network() -> nn.Module:
    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU())

    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(OrderedDict(a=block(1, 4), b=block(4, 8), c=block(8, 16), pool=pool, fc=nn.Linear(16, 10)))


STAGES = (Stage("a", ("a",)), Stage("b", ("b",)), Stage("c", ("c", "pool")))


@pytest.fixture
def cohort_of():
    """Return a function that makes a cohort whose batch norm has statistics of its own."""

    def make(sharing, peers: int = 4) -> Cohort:
        torch.manual_seed(0)
        cohort = Cohort(Backbone("small", network, STAGES, "fc", "a"), 10, peers, sharing)
        for _ in range(3):
            cohort(torch.randn(16, 1, 8, 8))
        return cohort.eval()

    return make


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(found: nn.Module, expected: nn.Module) -> None:
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def sgd(network: nn.Module) -> optim.Optimizer:
    # Fused, as that of the trainer: other ways to compute a step may differ in the last bit.
    return optim.SGD(network.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)


@pytest.mark.parametrize("split_gradients", ["sum", "mean"])
def test_the_leader_learns_bitwise_as_a_single_network_until_the_others_start(
    make_trainer, interrupted_at, split_gradients
):
    whole = make_trainer(growth=LATE, batches=interrupted_at(4), **CONSTANT)
    whole.cohort.split_gradients = split_gradients
    plain, other = whole.cohort.leader().train(), whole.cohort.peer(0)
    method, start = state_of(whole.method), torch.get_rng_state()
    with pytest.raises(Interrupted):
        whole.fit()
    end = torch.get_rng_state()

    batches = make_trainer("plain").batches
    torch.set_rng_state(start)
    optimizer = sgd(plain)
    for batch in batches.epoch(0):
        optimizer.zero_grad()
        F.cross_entropy(plain(batch.images), batch.labels).backward()
        optimizer.step()
    assert whole.progress.step == 4
    assert torch.equal(torch.get_rng_state(), end)
    assert_same(whole.cohort.networks[-1], plain)
    shared = {id(value) for value in whole.cohort.networks[-1].state_dict(keep_vars=True).values()}
    own = {
        name for name, value in whole.cohort.networks[0].state_dict(keep_vars=True).items() if id(value) not in shared
    }
    assert {"body.0.weight", "body.1.running_mean", "body.1.num_batches_tracked", "fc.bias"} <= own
    for name in own:
        assert torch.equal(whole.cohort.networks[0].state_dict()[name], other.state_dict()[name]), name
    for name, value in method.items():
        assert torch.equal(whole.method.state_dict()[name], value), name
    groups = whole.learner.state_dict()["optimizer"]
    assert len(groups["state"]) == len(list(plain.parameters())) < len(groups["param_groups"][0]["params"])


@pytest.mark.parametrize("sharing", ["network", "branch", [1, 2, 4]])
def test_grown_peers_differ_from_each_other_and_are_close_to_the_leader(cohort_of, sharing):
    cohort, images = cohort_of(sharing), torch.randn(32, 1, 8, 8)
    leader, before = cohort.leader(), cohort(images).logits
    random = random_state()
    grow_peers(cohort, GrowthConfig(start=0.5, noise=0.05), seed=3)
    assert all(torch.equal(one, two) for one, two in zip(random["torch"], random_state()["torch"], strict=True))
    assert_same(cohort.networks[-1], leader)
    logits = cohort(images).logits
    far = (before[:-1] - before[-1]).flatten(1).norm(dim=1)
    near = (logits[:-1] - logits[-1]).flatten(1).norm(dim=1)
    assert (near < 0.3 * far).all()
    apart = torch.cdist(logits.flatten(1), logits.flatten(1)) + 99 * torch.eye(4)
    assert (apart > 0.01 * far.mean()).all()
    assert len({id(value) for value in cohort.parameters()}) == len(list(cohort_of(sharing).parameters()))


def test_the_noise_is_relative_to_each_weight_tensor_and_buffers_are_copied(cohort_of):
    cohort = cohort_of("network", peers=2)
    nn.init.normal_(cohort.networks[-1].c[0].weight, std=7.0)
    nn.init.normal_(cohort.networks[-1].b[0].weight, std=0.01)
    grow_peers(cohort, GrowthConfig(start=0.5, noise=0.2), seed=3)
    peer, leader = cohort.networks
    for at in ("b", "c"):
        own, given = (one.get_submodule(f"{at}.0").weight for one in (peer, leader))
        assert ((own - given).std() / given.std()).item() == pytest.approx(0.2, rel=0.15)
    assert torch.equal(peer.c[1].weight, leader.c[1].weight)  # all are 1: without a scale
    for (name, own), given in zip(peer.named_buffers(), leader.buffers(), strict=True):
        assert torch.equal(own, given), name


@pytest.mark.parametrize(("fresh", "kept"), [("classifier", {"fc"}), ("stage", {"c", "fc"})])
def test_what_is_fresh_keeps_its_initial_weights(cohort_of, fresh, kept):
    cohort = cohort_of("branch", peers=2)
    before = state_of(cohort.networks[0])
    grow_peers(cohort, GrowthConfig(start=0.5, noise=0.0, fresh=fresh), seed=3)
    peer, leader = (network.state_dict() for network in cohort.networks)
    for name, value in peer.items():
        expected = before if name.partition(".")[0] in kept else leader
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(peer["fc.weight"], leader["fc.weight"])


def test_a_seed_gives_the_same_noise(cohort_of):
    one, two, other = (cohort_of("branch") for _ in range(3))
    for cohort, seed in ((one, 3), (two, 3), (other, 4)):
        grow_peers(cohort, LATE, seed)
    assert_same(one, two)
    assert not torch.equal(one.networks[0].c[0].weight, other.networks[0].c[0].weight)


def test_all_peers_learn_in_every_third_step_and_in_the_others_only_the_leader(make_trainer):
    """Against a loop that has the whole method or one network, and the cross-entropy written down."""
    trainer = make_trainer(epochs=2, distill_every=3, evaluator=None, **CONSTANT)
    twin = make_trainer("twin", epochs=2, **CONSTANT)
    cohort, method = deepcopy(twin.cohort).train(), twin.method.train()
    random = torch.get_rng_state()
    trainer.fit()

    torch.set_rng_state(random)
    optimizer = optim.SGD([*cohort.parameters(), *method.parameters()], 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    step = 0
    for epoch in range(2):
        method.start_epoch(epoch)
        for batch in twin.batches.epoch(epoch):
            optimizer.zero_grad()
            before = state_of(method)
            if step % 3 == 0:
                method(cohort(batch.images), batch.labels, batch.indices).total.backward()
            else:
                F.cross_entropy(cohort.networks[-1](batch.images), batch.labels).backward()
            optimizer.step()
            changed = any(not torch.equal(value, before[name]) for name, value in method.state_dict().items())
            assert changed == (step % 3 == 0)
            step += 1
    assert step == 8
    for found, expected in ((trainer.cohort, cohort), (trainer.method, method)):
        torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=1e-6, atol=1e-7)
    counts = {int(value) for name, value in cohort.state_dict().items() if "num_batches" in name}
    assert counts == {3, 8}  # of the other peer, and of the leader


def test_the_parts_of_the_loss_sum_to_its_total(make_trainer):
    trainer = make_trainer(epochs=2, growth=LATE, distill_every=3)
    trainer.fit()
    first, second = (line["loss"] for line in trainer.metrics.read())
    assert list(first) == ["total", "cross_entropy"]
    assert list(second) == ["total", "cross_entropy", "ensemble", "contrast"]
    for loss in (first, second):
        total = loss.pop("total")
        assert sum(loss.values()) == pytest.approx(total, rel=1e-5)


def test_peers_that_have_not_started_are_reported_as_the_leader_and_no_such_epoch_is_the_best(make_trainer):
    trainer = make_trainer(epochs=4, growth=replace(LATE, noise=3.0), patience=1, lr=1e-6)
    trainer.fit()
    lines = [line["validation"] for line in trainer.metrics.read()]
    for line in lines[:2]:
        assert line["peers"] == [line["leader"]] * 2
        assert line["ensemble"] == line["leader"]
    assert len(lines[2]["peers"]) == 2
    assert lines[2]["peers"][0] != lines[2]["leader"]
    assert trainer.progress.best_epoch == 3


def test_weights_of_the_method_ramp_up_from_the_first_epoch_of_all_peers(make_trainer):
    ramp = Ramp(1.0, 2)
    method = Method([Weighted("ensemble", ramp, EnsembleToLeader())])
    seen = []

    class Watched(type(method)):
        def start_epoch(self, epoch):
            seen.append(epoch)
            super().start_epoch(epoch)

    method.__class__ = Watched
    make_trainer(epochs=4, growth=LATE, method=method).fit()
    assert seen == [0, 0, 0, 1]


def test_a_ramp_longer_than_the_epochs_of_all_peers_is_told(make_trainer):
    method = Method([Weighted("ensemble", Ramp(1.0, 3), EnsembleToLeader())])
    with pytest.warns(PeerdistillWarning, match="over 3 epochs, but the run has 2"):
        make_trainer(epochs=4, growth=LATE, method=method)


def test_averages_of_peers_start_from_the_grown_peers(make_trainer, digits):
    trainer = make_trainer(growth=LATE)
    method = methods.pcl(trainer.cohort, digits.train.labels)
    trainer.learner.method = method
    trainer.learner.grow_peers()
    assert_same(method.terms["means"].means, trainer.cohort)


def test_the_leader_alone_has_smoothed_labels_mixed_targets_and_no_teacher(cohort_of):
    cohort = cohort_of("branch", peers=2)
    method = methods.mcl_okd(cohort, torch.arange(40) % 10, contrast=ContrastOptions(count=8, width=8))
    method.criterion = Criterion(label_smoothing=0.1)
    images, labels, targets = torch.randn(6, 1, 8, 8), torch.arange(6), torch.rand(2, 10).softmax(1)
    single = cohort.single(cohort.networks[-1])
    found = method.leader_loss(single(images), labels, torch.arange(6), targets)
    distributions = F.one_hot(labels, 10).float()
    distributions[:2] = targets
    expected = F.cross_entropy(cohort.networks[-1](images), distributions, label_smoothing=0.1)
    torch.testing.assert_close(found.total, expected)
    unlabelled = Method([Weighted("ensemble", 1.0, EnsembleToLeader())])
    unlabelled.criterion = method.criterion
    torch.testing.assert_close(unlabelled.leader_loss(single(images), labels, labels, targets).total, expected)


@pytest.mark.parametrize(("start", "every"), [(0.0, 1), (0.0, 4), (0.3, 1), (0.7, 5), (0.99, 2)])
def test_the_number_of_leader_steps(start, every):
    config = TrainingConfig(epochs=7, growth=GrowthConfig(start=start), distill_every=every)
    steps = LeaderSteps(config, steps_per_epoch=6)
    alone = [steps.is_alone(epoch, step) for epoch in range(7) for step in range(6)]
    assert [steps.count(number) for number in range(43)] == [sum(alone[:number]) for number in range(43)]
    assert not alone[6 * steps.first_epoch]
    assert steps.first_epoch < 7


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 1}, "growth.start 0.5 needs at least 2 epochs, found 1"),
        ({"growth": replace(LATE, noise=0.0)}, "peers with equal weights stay equal"),
        ({"growth": replace(LATE, noise=-1.0)}, "growth.noise must be at least 0"),
        ({"distill_every": 0}, "distill_every must be at least 1"),
    ],
)
def test_options_that_cannot_work(changes, text):
    with pytest.raises(UserError, match=text):
        TrainingConfig(**{"epochs": 4, "growth": LATE, **changes}).check()


def test_a_single_peer_and_other_networks_cannot_grow(make_trainer, cohort_of):
    alone = cohort_of("network", peers=1)
    with pytest.raises(UserError, match=r"growth\.start needs at least 2 peers"):
        make_trainer(growth=LATE, cohort=alone, method=Method([Weighted("labels", 1.0, CrossEntropy())]))
    one, two = (Backbone("small", network, STAGES, "fc", "a") for _ in range(2))
    cohort = Cohort(one, 10, 2, "network", peer_backbones=[two])
    with pytest.raises(UserError, match="leave out peer_backbones"):
        make_trainer(growth=LATE, cohort=cohort)
