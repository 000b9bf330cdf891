"""The queue against a Python list, and the contrast with it against the plain formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from peerdistill.contrast import EmbeddingQueue, queue_nce

LABELS = torch.tensor([0, 1, 1, -1, 2, 0, -1, 2])  # two entries are empty


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 9),
    batches=st.lists(st.integers(1, 14), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_holds_the_latest_samples(length, batches, seed):
    generator = torch.Generator().manual_seed(seed)
    queue = EmbeddingQueue(peers=2, length=length, width=3).double()
    ring, place = [None] * length, 0
    for batch in batches:
        embeddings = 5 * torch.randn(2, batch, 3, generator=generator, dtype=torch.float64)
        labels = torch.randint(7, (batch,), generator=generator)
        queue.push(embeddings, labels)
        for sample in range(batch):
            ring[place] = (F.normalize(embeddings[:, sample], dim=-1), int(labels[sample]))
            place = (place + 1) % length
        assert queue.labels.tolist() == [-1 if entry is None else entry[1] for entry in ring]
        assert queue.next.item() == place
        for found, entry in zip(queue.rows.unbind(1), ring, strict=True):
            torch.testing.assert_close(found, torch.zeros_like(found) if entry is None else entry[0])


def test_is_empty_at_first():
    assert EmbeddingQueue(2, 5, 3).labels.tolist() == [-1] * 5


def test_state_dict_restores_rows_labels_and_position():
    queue, other = EmbeddingQueue(2, 5, 3), EmbeddingQueue(2, 5, 3)
    queue.push(torch.randn(2, 7, 3), torch.arange(7))
    assert sorted(queue.state_dict()) == ["labels", "next", "rows"]
    other.load_state_dict(queue.state_dict())
    embeddings = torch.randn(2, 2, 3)
    for resumed in (queue, other):
        resumed.push(embeddings, torch.tensor([8, 9]))
    assert other.labels.tolist() == queue.labels.tolist() == [5, 6, 8, 9, 4]
    assert torch.equal(other.rows, queue.rows)


def test_has_no_gradient():
    queue = EmbeddingQueue(2, 5, 3)
    queue.push(torch.randn(2, 2, 3, requires_grad=True), torch.zeros(2, dtype=torch.long))
    assert not list(queue.parameters())
    assert not queue.rows.requires_grad


def test_rows_of_half_precision():
    queue, precise = EmbeddingQueue(2, 5, 16, torch.bfloat16), EmbeddingQueue(2, 5, 16)
    embeddings = torch.randn(2, 5, 16)
    for kept in (queue, precise):
        kept.push(embeddings, torch.arange(5))
    assert queue.rows.dtype == torch.bfloat16
    assert torch.equal(queue.rows, precise.rows.bfloat16())


def as_banks(case, unit):
    """The same inputs with a bank of the queue and the batch's embeddings, and the rows of each anchor's negatives."""
    labels = torch.tensor([0, 2, 1, 0, 5])
    queue = case.banks[:, :8]
    case = case._replace(banks=torch.cat([queue, unit.detach()], dim=1), indices=8 + torch.arange(5))
    negatives = [[row for row in range(8) if LABELS[row] not in (-1, own)] for own in labels]
    return case, negatives, queue, labels


@pytest.mark.parametrize("views", ["full", "core"])
@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
@pytest.mark.parametrize("samples", [1, 10, 10**6])
def test_value_is_equations_6_to_11_for_any_n(draw_case, naive_loss, samples, normaliser, views):
    """N of eq. 9 and 10 cancels: any number of samples gives the same loss."""
    case = draw_case()
    laid_out, negatives, queue, labels = as_banks(case, F.normalize(case.embeddings, dim=-1))
    how = {"normaliser": normaliser, "views": views}
    loss = queue_nce(case.embeddings, queue, LABELS, labels, **how)
    assert loss.item() == pytest.approx(naive_loss(laid_out, negatives, samples=samples, **how), rel=1e-9)


@pytest.mark.parametrize("objective", ["nce", "softmax"])
@pytest.mark.parametrize("size", [1, 2**20])
def test_gradient_flows_only_through_the_anchors(draw_case, autograd_loss, set_block_bytes, objective, size):
    """No gradient flows through the positive, the embedding of the other peer."""
    set_block_bytes(size)
    case = draw_case()
    x = case.embeddings.requires_grad_()
    laid_out, negatives, queue, labels = as_banks(case, F.normalize(x, dim=-1))
    found = queue_nce(x, queue, LABELS, labels, objective=objective)
    expected = autograd_loss(laid_out, negatives, objective=objective)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    (gradient,), (of_formula,) = torch.autograd.grad(found, x), torch.autograd.grad(expected, x)
    assert (gradient - of_formula).norm() <= 1e-10 * of_formula.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_embeddings_and_rows_of_half_precision(draw_case, dtype):
    case = draw_case(width=64)
    exact = queue_nce(case.embeddings, case.banks, torch.arange(40) % 4, torch.arange(5))
    x = case.embeddings.to(dtype).requires_grad_()
    loss = queue_nce(x, case.banks.to(dtype), torch.arange(40) % 4, torch.arange(5))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=2e-2)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("objective", ["nce", "softmax"])
def test_an_empty_queue_gives_zero(draw_case, objective):
    case = draw_case()
    x = case.embeddings.requires_grad_()
    loss = queue_nce(x, case.banks, torch.full((40,), -1), torch.arange(5), objective=objective)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert x.grad.abs().max() <= 1e-12
