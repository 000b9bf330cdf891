"""Every method in its few-shot form: which losses there are, and who learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from peerdistill import Cohort, fewshot, methods
from peerdistill.contrast import BankContrastOptions
from peerdistill.data import Augmentation
from peerdistill.fewshot import EpisodeBatches, EpisodeConfig, EpisodeSampler, prototypical_logits
from peerdistill.terms import Batch, CrossEntropy, Method, Teacher

EPISODES = EpisodeConfig(ways=3, shots=1, queries=2)
FEW = {
    name: {option.name: replace(option.default, count=12, width=8)}
    for name in methods.names()
    for option in methods.options_of(name)
    if isinstance(option.default, BankContrastOptions)
}
WITHOUT_CLASSIFIER = ("baseline", "crd", "rkd-d", "rkd-da")


@pytest.fixture
def batch(digits, normaliser):
    sampler = EpisodeSampler(digits.train, EPISODES.shape)
    batches = EpisodeBatches(
        digits.train,
        sampler,
        normaliser,
        episodes_per_epoch=1,
        augmentation=Augmentation(crop_padding=0, flip=False),
        seed=0,
        device=torch.device("cpu"),
    )
    return next(batches.epoch(0))


@pytest.fixture
def make(digits, make_cohort):
    """Return a function that makes cohort and method, as few-shot runs do."""

    def build(name: str, sharing: str | None = None, **options) -> tuple[Cohort, Method]:
        card = methods.find(name)
        cohort = make_cohort(**{"peers": 4, "sharing": sharing or card.sharings[0], **card.cohort})
        options |= FEW.get(name, {})
        if card.needs_teacher:
            options["teacher"] = Teacher(make_cohort(peers=1))
        method = fewshot.build_method(name, cohort, EPISODES, train_labels=digits.train.labels, **options)
        method.start_epoch(1000)
        return cohort, method

    return build


def loss_of(cohort, method, batch):
    return method(cohort(batch.images), batch.labels, batch.indices)


@pytest.mark.parametrize("name", methods.names())
def test_the_prototypical_loss_of_every_peer_is_added(make, batch, name):
    cohort, method = make(name)
    cohort.eval()  # the same features twice
    loss = loss_of(cohort, method, batch)
    expected = 0.0
    for features in cohort(batch.images).features.detach().double():
        log_p = prototypical_logits(features.view(3, 3, -1), 1).log_softmax(-1).numpy()
        expected -= np.mean([log_p[way, query, way] for way in range(3) for query in range(2)])
    assert loss.parts["prototypical"].item() == pytest.approx(expected, rel=1e-4)
    assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()), rel=1e-5)


@pytest.mark.parametrize("name", methods.names())
def test_the_other_parts_are_the_method_s_own_on_the_classifiers_of_all_classes(make, batch, name, digits):
    cohort, method = make(name)
    own = set(methods.build(name, cohort, train_labels=digits.train.labels, **own_options(name, method)).terms)
    left_out = {"cross_entropy"} if name in WITHOUT_CLASSIFIER else set()
    assert set(method.terms) == own - left_out | {"prototypical"}
    assert cohort(batch.images).logits.shape[-1] == 5


def own_options(name, method) -> dict:
    options = FEW.get(name, {})
    return {**options, "teacher": method.teacher} if methods.find(name).needs_teacher else options


@pytest.mark.parametrize("name", methods.names())
def test_who_learns(make, batch, name):
    cohort, method = make(name)
    loss_of(cohort, method, batch).total.backward()
    silent = {part for part, parameter in cohort.named_parameters() if parameter.grad is None}
    classifiers = {part for part, _ in cohort.named_parameters() if ".fc." in part}
    assert silent == (classifiers if name in WITHOUT_CLASSIFIER else set())
    assert all(parameter.grad is not None for parameter in method.parameters() if parameter.requires_grad)
    if method.teacher is not None:
        assert all(parameter.grad is None for parameter in method.teacher.parameters())


@pytest.mark.parametrize("name", [name for name in methods.names() if name not in WITHOUT_CLASSIFIER])
def test_classifiers_learn_from_class_scores_alone_and_encoders_from_both(make, batch, name):
    cohort, method = make(name)
    parts = loss_of(cohort, method, batch).parts
    peer = cohort.networks[-1]
    weights = (peer.block4[0].weight, peer.fc.weight)
    of_episodes = torch.autograd.grad(parts["prototypical"], weights, retain_graph=True, allow_unused=True)
    assert of_episodes[0].any()
    assert of_episodes[1] is None
    of_classes = torch.autograd.grad(sum(part for key, part in parts.items() if key != "prototypical"), weights)
    assert all(gradient.any() for gradient in of_classes)


def test_the_plain_prototypical_network_is_one_peer_of_the_baseline(make_cohort, digits, batch):
    cohort = make_cohort(peers=1)
    method = fewshot.build_method("baseline", cohort, EPISODES, train_labels=digits.train.labels)
    before = cohort.networks[0].fc.weight.clone()
    optimizer = torch.optim.Adam([*cohort.parameters(), *method.parameters()], lr=0.1)
    loss = loss_of(cohort, method, batch)
    loss.total.backward()
    optimizer.step()
    assert list(loss.parts) == ["prototypical"]
    assert torch.equal(cohort.networks[0].fc.weight, before)


def test_auxiliary_classifiers_learn_the_training_classes(make, batch):
    cohort, method = make("dml")
    cohort.eval()
    parts = loss_of(cohort, method, batch).parts
    expected = CrossEntropy()(cohort(batch.images), Batch(batch.labels, batch.indices))
    assert parts["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_weight_of_the_prototypical_loss(make_cohort, digits, batch):
    cohort = make_cohort().eval()
    labels = digits.train.labels
    single, double = (
        fewshot.build_method("dml", cohort, replace(EPISODES, prototypical=weight), train_labels=labels)
        for weight in (1.0, 2.0)
    )
    single, double = (loss_of(cohort, method, batch).parts for method in (single, double))
    assert double["prototypical"].item() == pytest.approx(2 * single["prototypical"].item(), rel=1e-6)
    assert double["cross_entropy"].item() == single["cross_entropy"].item()


def test_banks_hold_a_row_of_every_training_image(make, digits, batch):
    cohort, method = make("mcl-okd")
    term = method.terms["contrast"]
    assert term.memory.bank.rows.shape == (4, len(digits.train), 8)
    rows = term.memory.bank.rows.clone()
    loss_of(cohort, method, batch)
    moved = (term.memory.bank.rows != rows).any(-1)
    assert moved.nonzero()[:, 1].unique().tolist() == sorted(batch.indices.tolist())


@pytest.mark.parametrize("name", ["dml", "baseline"])
def test_a_leader_that_learns_alone_has_only_losses_from_labels(make, batch, name):
    cohort, method = make(name)
    cohort.eval()  # the same features twice
    found = method.leader_loss(cohort.single(cohort.networks[-1])(batch.images), batch.labels, batch.indices)
    log_p = prototypical_logits(cohort.encoder()(batch.images).view(3, 3, -1), 1).log_softmax(-1)
    expected = -torch.stack([log_p[way, query, way] for way in range(3) for query in range(2)]).mean()
    torch.testing.assert_close(found.parts["prototypical"], expected)
    if name == "dml":
        of_classes = nn.functional.cross_entropy(cohort.leader()(batch.images), batch.labels)
        torch.testing.assert_close(found.total, expected + of_classes)
    assert set(found.parts) == {"prototypical"} | ({"cross_entropy"} if name == "dml" else set())
