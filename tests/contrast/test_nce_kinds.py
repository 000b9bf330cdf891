"""Values and gradients for each source of negatives and both objectives, against a loop over anchors."""

import itertools

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from peerdistill.contrast import log_normalisers, multi_view_nce
from peerdistill.errors import UserError

KINDS = ("own multiplicity", "own gathered", "shared", "all")
HOW = [
    pytest.param({"objective": "nce", "normaliser": normaliser, "views": views}, id=f"nce-{normaliser}-{views}")
    for normaliser, views in itertools.product(("anchor", "batch"), ("full", "core"))
] + [pytest.param({"objective": "softmax", "views": views}, id=f"softmax-{views}") for views in ("full", "core")]


def drawn(kind, case, classes=4, seed=0):
    """Negatives from a source, and labels such that some anchors share one."""
    generator = torch.Generator().manual_seed(seed)
    samples = case.banks.shape[1]
    labels = torch.randint(classes, (samples,), generator=generator)
    shared = torch.randint(samples, (case.negatives.shape[1],), generator=generator)
    return {"shared": shared, "all": "all"}.get(kind, case.negatives), labels


def value_and_gradient(loss, case, *args, **how):
    x = case.embeddings.clone().requires_grad_()
    value = loss(case._replace(embeddings=x), *args, **how)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


def ours(case, negatives, labels, **how):
    return multi_view_nce(*case[:3], negatives, labels=labels, **how)


def assert_same(found, expected, tolerance):
    for of_us, of_formula in zip(found, expected, strict=True):
        assert (of_us.double() - of_formula).norm() <= tolerance * of_formula.norm()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 900, 2**20], ids=["one key per block", "blocks of unequal size", "one block"])
def test_value_and_gradient_are_those_of_the_loop(draw_case, autograd_loss, set_block_bytes, kind, how, size):
    set_block_bytes(size)
    case = draw_case(batch=4, samples=200 if kind == "own gathered" else 37)
    negatives, labels = drawn(kind, case)
    found = value_and_gradient(ours, case, negatives, labels, **how)
    assert_same(found, value_and_gradient(autograd_loss, case, negatives, labels, **how), 1e-10)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.fixed_dictionaries(
        {
            "peers": st.integers(2, 4),
            "batch": st.integers(1, 5),
            "samples": st.integers(1, 60),
            "negatives": st.integers(1, 90),
            "width": st.integers(1, 5),
            "seed": st.integers(0, 2**32),
        }
    ),
    classes=st.integers(1, 6),
    kind=st.sampled_from(["own", "shared", "all"]),
    temperature=st.floats(0.05, 2),
    normaliser=st.sampled_from(["anchor", "batch"]),
    objective=st.sampled_from(["nce", "softmax"]),
)
def test_any_size(draw_case, autograd_loss, sizes, classes, kind, temperature, normaliser, objective):
    """Includes more negatives than samples, anchors without negatives, and samples twice in a batch."""
    case = draw_case(**sizes)
    negatives, labels = drawn(kind, case, classes, sizes["seed"])
    how = {"temperature": temperature, "normaliser": normaliser, "objective": objective}
    found = value_and_gradient(ours, case, negatives, labels, **how)
    value, gradient = value_and_gradient(autograd_loss, case, negatives, labels, **how)
    torch.testing.assert_close(found[0], value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[1], gradient, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("kind", KINDS)
def test_float32(draw_case, autograd_loss, kind, objective):
    case = draw_case(batch=6, samples=3000 if kind == "own gathered" else 700, negatives=400, width=64)
    negatives, labels = drawn(kind, case)
    expected = value_and_gradient(autograd_loss, case, negatives, labels, objective=objective)
    single = case._replace(embeddings=case.embeddings.float(), banks=case.banks.float())
    assert_same(value_and_gradient(ours, single, negatives, labels, objective=objective), expected, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_banks_are_only_rounded(draw_case, autograd_loss, kind):
    """The scores are those of the rounded rows, computed in float32."""
    case = draw_case(batch=6, samples=3000 if kind == "own gathered" else 700, negatives=400, width=64)
    negatives, labels = drawn(kind, case)
    halved = case._replace(embeddings=case.embeddings.float(), banks=case.banks.bfloat16())
    expected = value_and_gradient(autograd_loss, case._replace(banks=halved.banks.double()), negatives, labels)
    assert_same(value_and_gradient(ours, halved, negatives, labels), expected, 1e-5)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("kind", ["own", "shared", "all"])
def test_sample_twice_in_the_batch(draw_case, autograd_loss, kind, objective):
    case = draw_case(batch=4, samples=30)
    case = case._replace(indices=torch.tensor([7, 7, 7, 2]))
    negatives, labels = drawn(kind, case)
    expected = value_and_gradient(autograd_loss, case, negatives, labels, objective=objective)
    assert_same(value_and_gradient(ours, case, negatives, labels, objective=objective), expected, 1e-10)


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_more_negatives_than_samples(draw_case, autograd_loss, kind):
    case = draw_case(samples=11, negatives=100)
    negatives, labels = drawn(kind, case)
    expected = value_and_gradient(autograd_loss, case, negatives, labels)
    assert_same(value_and_gradient(ours, case, negatives, labels), expected, 1e-10)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
@pytest.mark.parametrize("kind", ["shared", "all"])
def test_one_class_gives_zero(draw_case, kind, normaliser, objective):
    case = draw_case()
    negatives, _ = drawn(kind, case)
    one_class = torch.zeros(40, dtype=torch.long)
    loss, gradient = value_and_gradient(ours, case, negatives, one_class, normaliser=normaliser, objective=objective)
    torch.testing.assert_close(loss, torch.zeros_like(loss), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("kind", ["shared", "all"])
def test_other_rows_of_the_same_label_do_not_matter(draw_case, kind, objective):
    case = draw_case(batch=3, samples=30)
    negatives, labels = drawn(kind, case, classes=2)
    labels[case.indices] = 1
    before = value_and_gradient(ours, case, negatives, labels, objective=objective)
    alike = labels == 1
    alike[case.indices] = False
    changed = case.banks.clone()
    changed[:, alike] = F.normalize(torch.randn_like(changed[:, alike]), dim=-1)
    assert alike.any()
    assert_same(
        value_and_gradient(ours, case._replace(banks=changed), negatives, labels, objective=objective), before, 0
    )


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_all_equals_negatives_per_anchor_that_list_all(draw_case, objective):
    case = draw_case(samples=40)
    labels = torch.arange(40) % 5
    everyone = torch.stack([(labels != labels[own]).nonzero()[:, 0] for own in case.indices])
    found = multi_view_nce(*case[:3], "all", labels=labels, objective=objective)
    assert found.item() == pytest.approx(multi_view_nce(*case[:3], everyone, objective=objective).item(), rel=1e-12)


def test_without_labels_all_shared_negatives_count(draw_case, naive_loss):
    case = draw_case()
    shared = torch.tensor([3, 3, 9, 14])
    expected = naive_loss(case, [shared.tolist()] * 5)
    assert multi_view_nce(*case[:3], shared).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["shared", "all"])
def test_log_normalisers(draw_case, kind):
    """The log of the mean of h over the positives and negatives of all anchors that are scored against a bank."""
    case = draw_case(peers=3, batch=4, samples=20)
    negatives, labels = drawn(kind, case)
    found = log_normalisers(*case[:3], negatives, labels=labels, temperature=0.3)
    rows = list(range(20)) if kind == "all" else negatives.tolist()
    unit = F.normalize(case.embeddings, dim=-1)
    for bank in range(3):
        h = [
            torch.exp(unit[peer, i] @ case.banks[bank, row] / 0.3)
            for peer in range(3)
            if peer != bank
            for i, own in enumerate(case.indices.tolist())
            for row in [own, *(row for row in rows if labels[row] != labels[own])]
        ]
        assert found[bank].item() == pytest.approx(torch.stack(h).mean().log().item(), rel=1e-10)


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        ("all", 'negatives "all" needs the training labels'),
        ("al", "unknown negatives 'al': did you mean all"),
        (torch.zeros(0, dtype=torch.long), "at least 1 negative"),
    ],
)
def test_errors(draw_case, monkeypatch, negatives, message):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match=message):
        multi_view_nce(*draw_case()[:3], negatives)
