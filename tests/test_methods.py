from dataclasses import replace
from importlib import import_module
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from peerdistill import Cohort, methods, terms
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError

TRAIN_LABELS = torch.arange(60) % 5
FEW = ContrastOptions(count=12, width=8)


@pytest.fixture
def cohort():
    return Cohort("resnet8", classes=5, peers=3)


@pytest.fixture
def batch():
    """Images, labels and indices of training samples."""
    indices = torch.tensor([40, 7, 12, 33])
    return torch.randn(4, 3, 8, 8), TRAIN_LABELS[indices], indices


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def equation_12(logits, embeddings, banks, labels, indices, negatives, *, T=3.0, beta=0.025, tau=0.1):
    """The paper's objective, straight from its equations; returns its three parts."""
    peers, batch, _ = logits.shape
    N, S = banks.shape[1], negatives.shape[1]
    cross_entropy = -log_softmax(logits)[:, range(batch), labels].mean(1).sum()  # eq. 1, 2
    log_leader, log_ensemble = log_softmax(logits[-1] / T), log_softmax(logits.mean(0) / T)  # eq. 3, 4
    divergence = (np.exp(log_ensemble) * (log_ensemble - log_leader)).sum(1).mean()  # eq. 5
    contrast = 0.0
    for a, b in permutations(range(peers), 2):
        for i in range(batch):
            g_a, g_b = embeddings[a, i], banks[b, [indices[i], *negatives[i]]]
            h = np.exp(g_b @ g_a / np.linalg.norm(g_b, axis=1) / np.linalg.norm(g_a) / tau)  # eq. 6
            Z = N * h.mean()  # eq. 9
            p = (h / Z) / (h / Z + S / N)  # eq. 10
            contrast -= (np.log(p[0]) + np.log(1 - p[1:]).sum()) / batch  # eq. 11
    return {"cross_entropy": cross_entropy, "ensemble": T**2 * divergence, "contrast": beta * contrast}


def test_mcl_okd_is_equation_12(cohort, batch):
    cohort, (images, labels, indices) = cohort.double(), batch
    method = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, contrast=FEW).double()
    term = method.terms["contrast"]
    term.memory.bank.rows.copy_(F.normalize(term.memory.bank.rows, dim=-1))  # unit rows to float64's last digit
    draws = []
    term.memory.sampler.register_forward_hook(lambda module, args, output: draws.append(output.numpy()))
    banks = term.memory.bank.rows.numpy().copy()
    out = cohort(images.double())
    loss = method(out, labels, indices)
    embeddings = np.stack(
        [head(features).detach().numpy() for head, features in zip(term.heads, out.features, strict=True)]
    )
    expected = equation_12(out.logits.detach().numpy(), embeddings, banks, labels.numpy(), indices.numpy(), draws[0])
    assert list(loss.parts) == list(expected)
    for name, part in expected.items():
        assert loss.parts[name].item() == pytest.approx(part, rel=1e-10)
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-10)


def test_a_step_reaches_every_weight(cohort, batch):
    images, labels, indices = batch
    method = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, contrast=FEW)
    method(cohort(images), labels, indices).total.backward()
    for module in (cohort, method):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_without_ensemble_and_contrast_it_is_the_baseline(cohort, batch):
    images, labels, indices = batch
    out = cohort(images)
    stripped = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, beta=0.0, ensemble=0.0)
    assert not stripped.state_dict()
    baseline = methods.baseline(cohort, train_labels=TRAIN_LABELS)(out, labels, indices)
    loss = stripped(out, labels, indices)
    assert list(loss.parts) == list(baseline.parts) == ["cross_entropy"]
    assert loss.total.item() == baseline.total.item()


@pytest.mark.parametrize(("left_out", "kept"), [("beta", "ensemble"), ("ensemble", "contrast")])
def test_each_part_can_be_left_out(cohort, batch, left_out, kept):
    images, labels, indices = batch
    method = methods.mcl_okd(cohort, train_labels=TRAIN_LABELS, contrast=FEW, **{left_out: 0.0})
    assert list(method(cohort(images), labels, indices).parts) == ["cross_entropy", kept]


def test_defaults_are_the_papers():
    defaults = {option.name: option.default for option in methods.options_of("mcl-okd")}
    assert defaults == {"temperature": 3.0, "ensemble": 1.0, "beta": 0.025, "contrast": ContrastOptions()}


def test_the_baseline_has_no_options():
    assert methods.options_of("baseline") == []


def test_built_by_name_with_options(cohort):
    method = methods.build("mcl-okd", cohort, train_labels=TRAIN_LABELS, temperature=2.0, beta=0.5, contrast=FEW)
    weights = {name: ramp.at(0) for name, ramp in method.weights.items()}
    assert weights == {"cross_entropy": 1.0, "ensemble": 1.0, "contrast": 0.5}
    assert method.terms["ensemble"].temperature == 2.0
    assert method.terms["contrast"].options == FEW


def grown(name, sharing=None, peers=4):
    torch.manual_seed(0)
    card = methods.find(name)
    options = {"peers": peers, "sharing": sharing or card.sharings[0], **card.cohort}
    return Cohort("resnet8", classes=5, **options)


def few_negatives(name):
    """Return the contrast's options of a method that has some, with few negatives."""
    defaults = {option.name: option.default for option in methods.options_of(name)}
    return {"contrast": replace(defaults["contrast"], count=12, width=8)} if "contrast" in defaults else {}


def built(name, cohort, **options):
    few = few_negatives(name)
    if methods.find(name).needs_teacher:
        few["teacher"] = terms.Teacher(Cohort("resnet8", classes=5, peers=1, sharing="network"))
    return methods.build(name, cohort, train_labels=TRAIN_LABELS, **few, **options)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_trains_in_every_setting(name, batch):
    images, labels, indices = batch
    for sharing in methods.find(name).sharings:
        cohort = grown(name, sharing)
        method = built(name, cohort)
        method.start_epoch(80)
        loss = method(cohort(images), labels, indices)
        assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()), rel=1e-5)
        loss.total.backward()
        for module in (cohort, method):
            trained = [(n, parameter) for n, parameter in module.named_parameters() if parameter.requires_grad]
            assert [n for n, parameter in trained if parameter.grad is None] == []


@pytest.mark.parametrize("name", methods.names())
def test_every_option_is_documented_and_kept_by_its_function(name):
    card = methods.find(name)
    for option in methods.options_of(name):
        assert f"    {option.name}: " in card.documentation
    assert card.sharings
    assert card.loss
    assert card.paper


def test_each_method_is_one_file_that_is_found_by_being_there():
    paths = Path(methods.__file__).parent.glob("*.py")
    files = {path.stem for path in paths if "\nCARD = " in path.read_text(encoding="utf-8")}
    assert {name.replace("-", "_").replace("+", "_") for name in methods.names()} == files
    for file in files:
        assert getattr(methods, file) is import_module(f"peerdistill.methods.{file}").CARD.build


def test_methods_without_a_teacher_come_first_and_each_kind_by_name():
    kinds = [(methods.find(name).needs_teacher, name) for name in methods.names()]
    assert kinds == sorted(kinds)
    assert {name for needs_teacher, name in kinds if needs_teacher} >= {"kd", "crd", "crd+kd", "rkd-d", "rkd-da"}
    assert not methods.find("mcl-okd").needs_teacher


COMPOSITIONS = {
    "baseline": {"cross_entropy": 1.0},
    "dml": {"cross_entropy": 1.0, "mutual": 1.0},
    "cl-ilr": {"cross_entropy": 0.5, "others": 0.5},
    "one": {"cross_entropy": 1.0, "ensemble_labels": 1.0, "ensemble": 1.0},
    "okddip": {"cross_entropy": 1.0, "attention": 1.0, "group": 1.0},
    "mcl-okd": {"cross_entropy": 1.0, "ensemble": 1.0, "contrast": 0.025},
    "kdcl": {"cross_entropy": 1.0, "target": 1.0},
    "pcl": {"cross_entropy": 1.0, "ensemble_labels": 1.0, "ensemble": 1.0, "means": 1.0},
    "mcl": {"cross_entropy": 1.0, "vanilla": 0.1, "interactive": 0.1, "soft_vanilla": 1.0, "soft_interactive": 1.0},
    "kd": {"cross_entropy": 0.1, "teacher": 0.9},
    "crd": {"cross_entropy": 1.0, "contrast": 0.8},
    "crd+kd": {"cross_entropy": 1.0, "contrast": 0.8, "teacher": 1.0},
    "rkd-d": {"cross_entropy": 1.0, "distance": 25.0},
    "rkd-da": {"cross_entropy": 1.0, "distance": 25.0, "angle": 50.0},
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_weights_are_those_of_the_table(name):
    method = built(name, grown(name))
    assert {part: ramp.at(1000) for part, ramp in method.weights.items()} == COMPOSITIONS[name]


def test_temperatures_are_those_of_the_table():
    expected = {
        "dml": 2.0,
        "cl-ilr": 2.0,
        "one": 3.0,
        "okddip": 3.0,
        "mcl-okd": 3.0,
        "kdcl": 2.0,
        "pcl": 3.0,
        "mcl": 3.0,
        "kd": 4.0,
        "crd": 4.0,
        "crd+kd": 4.0,
    }
    found = {
        name: option.default for name in expected for option in methods.options_of(name) if option.name == "temperature"
    }
    assert found == expected


@pytest.mark.parametrize(("name", "part"), [("okddip", "group"), ("pcl", "ensemble"), ("pcl", "means")])
def test_rises_over_80_epochs(batch, name, part):
    images, labels, indices = batch
    cohort = grown(name)
    method = built(name, cohort)
    changed = cohort(images * 2)
    shares = []
    for epoch in (0, 40, 80, 200):
        method.start_epoch(epoch)
        method.eval()  # nothing is trained: running means stay as they are
        shares.append(method(changed, labels, indices).parts[part].item())
    expected = [np.exp(-5 * (1 - min(t, 80) / 80) ** 2) for t in (0, 40, 80, 200)]
    assert [share / shares[-1] for share in shares] == pytest.approx(expected, rel=1e-5)


MCL_PARTS = ("vanilla", "interactive", "soft_vanilla", "soft_interactive")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("okddip", ["distillation"]),
        ("kdcl", ["distillation"]),
        ("pcl", ["ensemble", "means"]),
        ("mcl", MCL_PARTS),
    ],
)
def test_without_distillation_it_is_the_baseline(batch, name, weights):
    images, labels, indices = batch
    cohort = grown(name)
    out = cohort(images)
    stripped = built(name, cohort, **dict.fromkeys(weights, 0.0))
    assert not stripped.state_dict()
    assert torch.equal(stripped.ensemble(out), out.logits.mean(0))
    assert stripped(out, labels, indices).total.item() == built("baseline", cohort)(out, labels, indices).total.item()


@pytest.mark.parametrize(
    ("name", "left_out", "kept"),
    [
        ("pcl", "ensemble", ["cross_entropy", "means"]),
        ("pcl", "means", ["cross_entropy", "ensemble_labels", "ensemble"]),
        *(("mcl", part, ["cross_entropy", *(other for other in MCL_PARTS if other != part)]) for part in MCL_PARTS),
    ],
)
def test_parts_can_be_left_out_one_by_one(batch, name, left_out, kept):
    images, labels, indices = batch
    cohort = grown(name)
    method = built(name, cohort, **{left_out: 0.0})
    method.start_epoch(0)
    assert list(method(cohort(images), labels, indices).parts) == kept


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_kdcl_has_nothing_to_distil_between_equal_peers(batch, target):
    images, labels, indices = batch
    cohort = grown("kdcl", peers=3)
    for network in cohort.networks[1:]:
        network.load_state_dict(cohort.networks[0].state_dict())
    part = built("kdcl", cohort, target=target)(cohort(images), labels, indices).parts["target"]
    gradients = torch.autograd.grad(part, list(cohort.parameters()))
    assert part.item() == pytest.approx(0, abs=1e-5)
    assert max(gradient.abs().max() for gradient in gradients) < 1e-5


@pytest.mark.parametrize(("peers", "taught"), [(2, [True, True]), (3, [False, False, True])])
def test_mcl_with_logits_teaches_the_leader_or_both_of_two(batch, peers, taught):
    images, labels, indices = batch
    cohort = grown("mcl", peers=peers)
    out = cohort(images)
    part = built("mcl", cohort, ensemble=1.0)(out, labels, indices).parts["ensemble"]
    (gradient,) = torch.autograd.grad(part, out.logits)
    assert [bool(of_peer.any()) for of_peer in gradient] == taught


def test_mcl_shares_one_head_a_peer_among_its_parts():
    method = built("mcl", grown("mcl"), width=32)
    assert sum(parameter.numel() for parameter in method.parameters()) == 4 * (64 * 32 + 32 + 32 * 32 + 32)


def test_ones_equal_gates_have_the_mean_ensemble(batch):
    images, _, _ = batch
    cohort = grown("one").eval()
    method = built("one", cohort).eval()
    with torch.no_grad():
        method.ensemble.gate[0].weight.zero_()
        method.ensemble.gate[0].bias.zero_()
        out = cohort(images)
        torch.testing.assert_close(method.ensemble(out), out.logits.mean(0))


def test_ones_gate_needs_a_shared_stem():
    with pytest.raises(UserError, match="one needs a stem that all peers share"):
        built("one", grown("one", sharing="network"))


@pytest.mark.parametrize(
    ("name", "fewest"),
    [("dml", 2), ("cl-ilr", 2), ("one", 2), ("okddip", 3), ("mcl-okd", 2), ("kdcl", 2), ("pcl", 2), ("mcl", 2)],
)
def test_too_few_peers_are_refused(name, fewest):
    with pytest.raises(UserError, match=f"{name} needs at least {fewest} peers, found {fewest - 1}"):
        methods.find(name).build(grown("baseline", peers=fewest - 1), TRAIN_LABELS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mcl_okd", {}, "unknown method 'mcl_okd': did you mean mcl-okd"),
        ("nothing", {}, "unknown method 'nothing': choose from baseline, cl-ilr"),
        ("mcl-okd", {"temprature": 2.0}, "unknown option of mcl-okd 'temprature': did you mean temperature"),
        ("baseline", {"beta": 0.1}, "baseline has no options, found 'beta'"),
        ("mcl-okd", {"beta": -0.1}, "beta must be at least 0 and at most .*, found -0.1"),
        ("mcl-okd", {"ensemble": -1.0}, "ensemble must be at least 0 and at most .*, found -1.0"),
        ("mcl-okd", {"temperature": 0.0}, "temperature must be above 0 and at most .*, found 0.0"),
        ("pcl", {"means": -1.0}, "means must be at least 0 and at most .*, found -1.0"),
        ("pcl", {"momentum": 1.0}, "momentum must be at least 0 and below 1, found 1.0"),
        ("mcl", {"soft_vanilla": -1.0}, "soft_vanilla must be at least 0 and at most .*, found -1.0"),
        ("mcl", {"tau": 0.0}, "tau must be above 0 and at most .*, found 0.0"),
        ("mcl", {"width": 0}, "width must be at least 1 and at most .*, found 0"),
        (
            "mcl-okd",
            {"contrast": ContrastOptions(width=0)},
            r"contrast\.width must be at least 1 and at most .*, found 0",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:drawing .* negatives per anchor instead of 16384")
def test_what_is_refused(cohort, name, options, message):
    with pytest.raises(UserError, match=message):
        methods.build(name, cohort, train_labels=TRAIN_LABELS, **options)


def test_one_peer_is_enough_for_the_baseline_alone():
    single = Cohort("resnet8", classes=5, peers=1)
    methods.baseline(single, train_labels=TRAIN_LABELS)
    with pytest.raises(UserError, match="mcl-okd needs at least 2 peers, found 1"):
        methods.mcl_okd(single, train_labels=TRAIN_LABELS)


class TestPeersOfUnlikeWidths:
    """vgg8 has features of width 512, resnet20 and resnet32 of 64."""

    def cohort(self, *others):
        return Cohort("resnet20", 3, peers=3, sharing="network", peer_backbones=others)

    @pytest.mark.parametrize("name", ["baseline", "dml", "cl-ilr", "kdcl", "pcl", "mcl", "mcl-okd"])
    def test_methods_of_logits_and_embeddings_work(self, name):
        labels = torch.arange(12) % 3
        cohort = self.cohort("vgg8", "resnet32")
        options = {"contrast": ContrastOptions(count=4, width=8)} if name == "mcl-okd" else {}
        method = methods.build(name, cohort, train_labels=labels, **options)
        method.start_epoch(0)
        method(cohort(torch.randn(12, 3, 32, 32)), labels, torch.arange(12)).total.backward()
        assert all(parameter.grad is not None for parameter in cohort.parameters())
        method.after_step(cohort)

    def test_attention_needs_auxiliaries_of_one_width_and_any_leader(self):
        labels = torch.arange(12) % 3
        with pytest.raises(
            UserError, match=r"okddip compares the features of its auxiliary peers: .* found \[512, 64\]"
        ):
            methods.build("okddip", self.cohort("vgg8", "resnet32"), train_labels=labels)
        cohort = self.cohort("vgg8", "vgg8")
        method = methods.build("okddip", cohort, train_labels=labels)
        method.start_epoch(0)
        method(cohort(torch.randn(4, 3, 32, 32)), labels[:4], torch.arange(4)).total.backward()

    def test_a_gate_needs_a_shared_stem(self):
        with pytest.raises(UserError, match="one needs a stem that all peers share"):
            methods.build("one", self.cohort("vgg8", "resnet32"), train_labels=torch.arange(3))


@pytest.mark.parametrize("peers", [2, 8])
@pytest.mark.parametrize("name", ["baseline", "dml", "cl-ilr", "one", "kdcl", "pcl", "mcl", "mcl-okd", "okddip"])
def test_two_to_eight_peers(name, peers):
    labels = torch.arange(6) % 3
    cohort = Cohort("resnet8", 3, peers=peers, sharing="tree" if name == "cl-ilr" else "branch")
    options = {"contrast": ContrastOptions(count=4, width=8)} if name == "mcl-okd" else {}
    if (name, peers) == ("okddip", 2):
        with pytest.raises(UserError, match="okddip needs at least 3 peers, found 2"):
            methods.build(name, cohort, train_labels=labels)
        return
    method = methods.build(name, cohort, train_labels=labels, **options)
    method.start_epoch(0)
    loss = method(cohort(torch.randn(6, 3, 16, 16)), labels, torch.arange(6))
    assert loss.total.isfinite()
    loss.total.backward()


# Parameters of ResNet-32's parts at 100 classes, and of what methods train besides, counted by hand.
STEM, LAYER1, LAYER2, TOP = 464, 23_360, 88_768, 353_664 + 6_500
GATE, QUERY_AND_KEY = 32 * 4 + 4 + 2 * 4, 2 * 64 * 8


@pytest.mark.parametrize(
    ("name", "sharing", "released"),
    [
        ("baseline", "branch", STEM + LAYER1 + 4 * (LAYER2 + TOP)),
        ("dml", "branch", STEM + LAYER1 + 4 * (LAYER2 + TOP)),
        ("cl-ilr", "tree", STEM + LAYER1 + 2 * LAYER2 + 4 * TOP),
        ("one", "branch", STEM + LAYER1 + LAYER2 + 4 * TOP + GATE),
        ("okddip", "branch", STEM + LAYER1 + LAYER2 + 4 * TOP + QUERY_AND_KEY),
    ],
)
def test_branches_part_where_those_of_the_released_code_do(name, sharing, released):
    with torch.device("meta"):
        cohort = Cohort("resnet32", 100, sharing=sharing, **methods.find(name).cohort)
        method = methods.build(name, cohort, train_labels=torch.arange(3))
    assert sum(parameter.numel() for module in (cohort, method) for parameter in module.parameters()) == released
    if name == "one":
        assert released == 1_553_388  # as the released code counts it


@pytest.mark.parametrize("name", methods.names())
def test_every_card_says_where_its_branches_part_and_why(name):
    card = methods.find(name)
    if card.needs_teacher:
        assert not card.branches
        return
    assert ".py" in card.branches or "our choice" in card.branches
    assert ("branch_at" in card.cohort) == (name in ("one", "okddip", "pcl"))


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0])
def test_a_weight_that_is_no_number_is_refused(weight):
    with pytest.raises(UserError, match="the weight of 'x' must be at least 0"):
        terms.Method([terms.Weighted("x", weight, terms.CrossEntropy())])
