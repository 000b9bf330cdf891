"""CRD against a loop, and against the multi-view contrast of two views if Z is that of the batch."""

import math

import pytest
import torch
from torch.nn import functional as F

from peerdistill.contrast import TeacherContrastOptions, log_normalisers, multi_view_nce
from peerdistill.errors import UserError
from peerdistill.terms import Batch, TeacherContrast

TRAIN_LABELS = torch.arange(40) % 5
OPTIONS = TeacherContrastOptions(count=6, width=4, temperature=0.07)


@pytest.fixture
def with_teacher(out):
    teacher = out._replace(features=torch.randn(1, 4, 9, dtype=torch.float64).requires_grad_())
    return out._replace(teacher=teacher)


@pytest.fixture
def term():
    torch.manual_seed(0)
    return TeacherContrast(9, 6, TRAIN_LABELS, OPTIONS).double()


def record_draws(term):
    """Return a list to which each call of the term appends its negatives."""
    drawn = []
    term.memory.sampler.register_forward_hook(lambda module, args, output: drawn.append(output))
    return drawn


def embeddings(term, with_teacher):
    features = (with_teacher.teacher.features[0], with_teacher.features[-1])
    return [F.normalize(head(feature), dim=-1).detach() for head, feature in zip(term.heads, features, strict=True)]


def naive_direction(anchors, bank, indices, negatives, Z_over_N, tau):
    """Loss of one direction by a loop over anchors and keys, given Z / N."""
    S, loss = negatives.shape[1], 0.0
    for anchor, i, others in zip(anchors, indices.tolist(), negatives.tolist(), strict=True):
        h = [math.exp((anchor @ bank[row]).item() / tau) / Z_over_N for row in (i, *others)]
        p = [value / (value + S) for value in h]
        loss -= math.log(p[0]) + sum(math.log(1 - other) for other in p[1:])
    return loss / len(anchors)


def naive_mean(anchors, bank, indices, negatives, tau):
    scores = [
        math.exp((anchor @ bank[row]).item() / tau)
        for anchor, i, others in zip(anchors, indices.tolist(), negatives.tolist(), strict=True)
        for row in (i, *others)
    ]
    return sum(scores) / len(scores)


def test_is_both_directions_with_the_z_of_the_first_batch(with_teacher, labels, indices, term):
    drawn = record_draws(term)
    Z = None
    for call in range(3):
        banks = term.memory.bank.rows.clone()
        teacher, student = embeddings(term, with_teacher)
        loss = term(with_teacher, Batch(labels, indices)).item()
        sides = ((student, banks[0]), (teacher, banks[1]))
        if Z is None:
            Z = [naive_mean(anchors, bank, indices, drawn[0], 0.07) for anchors, bank in sides]
        expected = sum(
            naive_direction(anchors, bank, indices, drawn[call], z, 0.07)
            for (anchors, bank), z in zip(sides, Z, strict=True)
        )
        assert loss == pytest.approx(expected, rel=1e-10)
        assert not torch.equal(term.memory.bank.rows, banks)


def test_first_batch_is_the_multi_view_contrast_with_z_of_the_batch(with_teacher, labels, indices, term):
    drawn = record_draws(term)
    banks, views = term.memory.bank.rows.clone(), torch.stack(embeddings(term, with_teacher))
    loss = term(with_teacher, Batch(labels, indices))
    same = multi_view_nce(views, banks, indices, drawn[0], temperature=0.07, normaliser="batch")
    assert loss.item() == pytest.approx(same.item(), rel=1e-10)


def test_both_heads_learn_and_the_teacher_does_not(with_teacher, labels, indices, term):
    term(with_teacher, Batch(labels, indices)).backward()
    assert all(head.weight.grad.any() for head in term.heads)
    assert with_teacher.features.grad[-1].any()
    assert not with_teacher.features.grad[:-1].any()
    assert with_teacher.teacher.features.grad is None


def test_state_dict_restores_z(with_teacher, labels, indices, term):
    term(with_teacher, Batch(labels, indices))
    other = TeacherContrast(9, 6, TRAIN_LABELS, OPTIONS).double()
    other.load_state_dict(term.state_dict())
    first = term.log_normalisers.clone()
    other(with_teacher._replace(features=with_teacher.features * 3), Batch(labels, indices))
    assert torch.equal(other.log_normalisers, first)


def test_evaluation_does_not_change_the_bank(with_teacher, labels, indices, term):
    rows = term.memory.bank.rows.clone()
    term.eval()(with_teacher, Batch(labels, indices))
    assert torch.equal(term.memory.bank.rows, rows)


def test_log_normalisers_are_means_over_all_anchors_of_a_bank():
    views, banks = torch.randn(3, 5, 4, dtype=torch.float64), F.normalize(torch.randn(3, 20, 4).double(), dim=-1)
    indices, negatives = torch.arange(5), torch.randint(0, 20, (5, 7))
    found = log_normalisers(views, banks, indices, negatives, temperature=0.2)
    unit = F.normalize(views, dim=-1)
    for bank in range(3):
        others = [naive_mean(unit[peer], banks[bank], indices, negatives, 0.2) for peer in range(3) if peer != bank]
        assert found[bank].item() == pytest.approx(math.log(sum(others) / 2), rel=1e-10)


@pytest.mark.parametrize("kind", ["shared", "all"])
def test_shared_and_all_negatives(with_teacher, labels, indices, kind):
    term = TeacherContrast(9, 6, TRAIN_LABELS, TeacherContrastOptions(negatives=kind, count=9, width=4)).double()
    drawn = record_draws(term)
    banks, views = term.memory.bank.rows.clone(), torch.stack(embeddings(term, with_teacher))
    loss = term(with_teacher, Batch(labels, indices))
    same = multi_view_nce(views, banks, indices, drawn[0], temperature=0.07, labels=TRAIN_LABELS, normaliser="batch")
    assert len(drawn) == 1
    assert loss.item() == pytest.approx(same.item(), rel=1e-10)


def test_softmax_has_no_z(with_teacher, labels, indices):
    term = TeacherContrast(9, 6, TRAIN_LABELS, TeacherContrastOptions(objective="softmax", count=9, width=4)).double()
    drawn = record_draws(term)
    banks, views = term.memory.bank.rows.clone(), torch.stack(embeddings(term, with_teacher))
    loss = term(with_teacher, Batch(labels, indices))
    same = multi_view_nce(views, banks, indices, drawn[0], temperature=0.07, objective="softmax")
    assert loss.item() == pytest.approx(same.item(), rel=1e-10)
    assert all(part.isfinite().all() for part in term.state_dict().values())  # else the trainer reports a divergence


def test_a_queue_requires_the_softmax(with_teacher, labels, indices):
    with pytest.raises(UserError, match=r"queue is still empty: choose .* own, shared or all, or .* softmax"):
        TeacherContrast(9, 6, TRAIN_LABELS, TeacherContrastOptions(negatives="queue", count=9, width=4))
    softmax = TeacherContrastOptions(negatives="queue", objective="softmax", count=9, width=4)
    term = TeacherContrast(9, 6, TRAIN_LABELS, softmax).double()
    losses = [term(with_teacher, Batch(labels, indices)) for _ in range(2)]
    assert losses[0].item() == pytest.approx(0, abs=1e-12)
    assert losses[1].item() > 0.1
