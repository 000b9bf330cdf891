"""Properties of all methods, and of single ones where they differ."""

import numpy as np
import pytest
import torch
from docstring_parser import parse

from peerdistill import Cohort, methods, terms
from peerdistill.errors import UserError
from peerdistill.ranges import Weight

MCL_PARTS = ("vanilla", "interactive", "soft_vanilla", "soft_interactive")
# An option that is a weight, with each method that has it.
WEIGHTS = [
    (name, option.name)
    for name in methods.names()
    for option in methods.options_of(name)
    if option.annotation == Weight and option.default > 0
]


@pytest.mark.parametrize("name", methods.names())
def test_trains_all_parameters_in_each_sharing(make_cohort, make_method, name, batch):
    images, labels, indices = batch
    for sharing in methods.find(name).sharings:
        cohort = make_cohort(name, sharing)
        method = make_method(name, cohort)
        method.start_epoch(80)
        loss = method(cohort(images), labels, indices)
        assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()), rel=1e-5)
        loss.total.backward()
        for module in (cohort, method):
            trained = [(n, parameter) for n, parameter in module.named_parameters() if parameter.requires_grad]
            assert [n for n, parameter in trained if parameter.grad is None] == []


@pytest.mark.parametrize("name", methods.names())
def test_card_and_docstring_are_complete(name):
    card = methods.find(name)
    documented = {param.arg_name for param in parse(card.documentation).params}
    assert documented >= {option.name for option in methods.options_of(name)}
    assert card.loss != "-"
    assert card.paper
    assert bool(card.branches) is not card.needs_teacher


@pytest.mark.parametrize("name", methods.names())
def test_the_loss_in_the_card_has_the_weights_of_the_terms(make_cohort, make_method, name):
    loss = methods.find(name).loss
    if name == "crd+kd":  # whose loss refers to that of crd
        loss += methods.find("crd").loss
    weights = {f"{ramp.weight:g}" for ramp in make_method(name, make_cohort(name)).weights.values()}
    assert [weight for weight in weights - {"1"} if weight not in loss] == ([] if name != "mcl-okd" else ["0.025"])


@pytest.mark.parametrize(("name", "option"), WEIGHTS)
def test_weight_zero_builds_nothing(make_cohort, make_method, batch, name, option):
    images, labels, indices = batch
    cohort = make_cohort(name)
    every, without = make_method(name, cohort), make_method(name, cohort, **{option: 0.0})
    for method in (every, without):
        method.start_epoch(0)
    assert set(without.terms) < set(every.terms)
    assert set(without.state_dict()) <= set(every.state_dict())
    assert list(without(cohort(images), labels, indices).parts) == list(without.terms)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("mcl-okd", ["beta", "ensemble"]),
        ("okddip", ["distillation"]),
        ("kdcl", ["distillation"]),
        ("pcl", ["ensemble", "means"]),
        ("mcl", MCL_PARTS),
    ],
)
def test_without_distillation_it_is_the_baseline(make_cohort, make_method, batch, name, weights):
    images, labels, indices = batch
    cohort = make_cohort(name)
    out = cohort(images)
    method = make_method(name, cohort, **dict.fromkeys(weights, 0.0))
    assert not method.state_dict()
    assert torch.equal(method.ensemble(out), out.logits.mean(0))
    baseline = make_method("baseline", cohort)
    assert method(out, labels, indices).total.item() == baseline(out, labels, indices).total.item()


@pytest.mark.parametrize(
    ("name", "part", "options"),
    [
        ("okddip", "group", {}),
        ("pcl", "ensemble", {}),
        ("pcl", "means", {}),
        ("mcl-okd", "ensemble", {"ramp": 80}),
        ("one", "ensemble", {"ramp": 80}),
    ],
)
def test_weights_ramp_up_over_80_epochs(make_cohort, make_method, batch, name, part, options):
    images, labels, indices = batch
    cohort = make_cohort(name)
    method = make_method(name, cohort, **options).eval()
    out = cohort(images * 2)
    losses = []
    for epoch in (0, 40, 80, 200):
        method.start_epoch(epoch)
        losses.append(method(out, labels, indices).parts[part].item())
    expected = [np.exp(-5 * (1 - min(t, 80) / 80) ** 2) for t in (0, 40, 80, 200)]
    assert [loss / losses[-1] for loss in losses] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_kdcl_of_equal_peers_is_zero(make_cohort, make_method, batch, target):
    images, labels, indices = batch
    cohort = make_cohort("kdcl", peers=3)
    for network in cohort.networks[1:]:
        network.load_state_dict(cohort.networks[0].state_dict())
    part = make_method("kdcl", cohort, target=target)(cohort(images), labels, indices).parts["target"]
    gradients = torch.autograd.grad(part, list(cohort.parameters()))
    assert part.item() == pytest.approx(0, abs=1e-5)
    assert max(gradient.abs().max() for gradient in gradients) < 1e-5


@pytest.mark.parametrize(("peers", "learns"), [(2, [True, True]), (3, [False, False, True])])
def test_the_ensemble_of_mcl_teaches_the_leader_or_both_of_two_peers(make_cohort, make_method, batch, peers, learns):
    images, labels, indices = batch
    cohort = make_cohort("mcl", peers=peers)
    out = cohort(images)
    part = make_method("mcl", cohort, ensemble=1.0)(out, labels, indices).parts["ensemble"]
    (gradient,) = torch.autograd.grad(part, out.logits)
    assert [bool(of_peer.any()) for of_peer in gradient] == learns


def test_the_terms_of_mcl_share_one_head_per_peer(make_cohort, make_method):
    method = make_method("mcl", make_cohort("mcl"), width=32)
    assert sum(parameter.numel() for parameter in method.parameters()) == 4 * (64 * 32 + 32 + 32 * 32 + 32)


@pytest.mark.parametrize("name", ["baseline", "dml", "cl-ilr", "one", "kdcl", "pcl", "mcl", "mcl-okd", "okddip"])
def test_eight_peers(make_cohort, make_method, batch, name):
    images, labels, indices = batch
    cohort = make_cohort(name, peers=8)
    method = make_method(name, cohort)
    method.start_epoch(0)
    loss = method(cohort(images), labels, indices).total
    assert loss.isfinite()
    loss.backward()


class TestPeersOfDifferentWidths:
    """vgg8 has features of width 512, resnet20 and resnet32 of 64."""

    LABELS = torch.arange(12) % 3

    def cohort(self, *others):
        return Cohort("resnet20", 3, peers=3, sharing="network", peer_backbones=others)

    @pytest.mark.parametrize("name", ["pcl", "mcl", "mcl-okd"])
    def test_methods_with_heads_or_features_train(self, make_method, name):
        cohort = self.cohort("vgg8", "resnet32")
        method = make_method(name, cohort)
        method.start_epoch(0)
        method(cohort(torch.randn(12, 3, 32, 32)), self.LABELS, torch.arange(12)).total.backward()
        assert all(parameter.grad is not None for parameter in cohort.parameters())
        method.after_step(cohort)

    def test_okddip_needs_auxiliaries_of_the_same_width_but_not_the_leader(self, make_method):
        with pytest.raises(UserError, match=r"okddip compares the features of its auxiliary .* found \[512, 64\]"):
            make_method("okddip", self.cohort("vgg8", "resnet32"))
        cohort = self.cohort("vgg8", "vgg8")
        method = make_method("okddip", cohort)
        method.start_epoch(0)
        method(cohort(torch.randn(4, 3, 32, 32)), self.LABELS[:4], torch.arange(4)).total.backward()

    def test_one_needs_a_shared_stem(self, make_method):
        with pytest.raises(UserError, match="one needs a stem that all peers share: choose sharing branch or tree"):
            make_method("one", self.cohort("vgg8", "resnet32"))


# Parameters of the parts of a ResNet-32 with 100 classes, and of what methods train besides, counted by hand.
STEM, LAYER1, LAYER2, TOP = 464, 23_360, 88_768, 353_664 + 6_500
GATE, QUERY_AND_KEY = 32 * 4 + 4 + 2 * 4, 2 * 64 * 8


@pytest.mark.parametrize(
    ("name", "sharing", "released"),
    [
        ("baseline", "branch", STEM + LAYER1 + 4 * (LAYER2 + TOP)),
        ("cl-ilr", "tree", STEM + LAYER1 + 2 * LAYER2 + 4 * TOP),
        ("one", "branch", STEM + LAYER1 + LAYER2 + 4 * TOP + GATE),
        ("okddip", "branch", STEM + LAYER1 + LAYER2 + 4 * TOP + QUERY_AND_KEY),
    ],
)
def test_number_of_parameters_is_that_of_the_released_code(name, sharing, released):
    with torch.device("meta"):
        cohort = Cohort("resnet32", 100, sharing=sharing, **methods.find(name).cohort)
        method = methods.build(name, cohort, train_labels=torch.arange(3))
    assert sum(parameter.numel() for module in (cohort, method) for parameter in module.parameters()) == released
    if name == "one":
        assert released == 1_553_388  # the number that the released code prints


@pytest.mark.parametrize("name", [name for name in methods.names() if not methods.find(name).needs_teacher])
def test_an_ensemble_is_built_without_terms(name, monkeypatch):
    """What the ensemble computes is that of the whole method; no embedding head and no bank is made for it."""
    cohort = Cohort("resnet8", classes=10, peers=3, sharing=methods.find(name).sharings[0])
    whole = methods.build(name, cohort, train_labels=torch.arange(60) % 10).ensemble

    def refuse(*args, **kwargs):
        raise AssertionError("a term with weights or a memory was built")

    for term in ("MultiViewContrast", "InBatchScores", "AttentionTargets", "EMAPeersToPeers"):
        monkeypatch.setattr(terms, term, refuse)
    ensemble = methods.build_ensemble(name, cohort)
    ensemble.load_state_dict(whole.state_dict())
    out = cohort.eval()(torch.randn(4, 3, 32, 32))
    assert torch.equal(ensemble.eval()(out), whole.eval()(out))
