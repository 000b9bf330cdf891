import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from peerdistill.contrast import MemoryBank


def unit(row):
    length = math.hypot(*row)
    return [x / length for x in row]


def naively_updated(rows, embeddings, indices, momentum):
    """``normalise(momentum * row + (1 - momentum) * e)``, e the mean of the sample's normalised embeddings."""
    moved = [list(bank) for bank in rows]
    for peer, bank in enumerate(rows):
        for sample in set(indices):
            seen = [unit(embeddings[peer][place]) for place, index in enumerate(indices) if index == sample]
            mean = [sum(values) / len(seen) for values in zip(*seen, strict=True)]
            moved[peer][sample] = unit(
                [momentum * old + (1 - momentum) * new for old, new in zip(bank[sample], mean, strict=True)]
            )
    return moved


def test_initial_rows_are_different_unit_vectors():
    bank = MemoryBank(peers=3, samples=50, width=16)
    assert bank.rows.shape == (3, 50, 16)
    torch.testing.assert_close(bank.rows.norm(dim=-1), torch.ones(3, 50))
    assert len(torch.unique(bank.rows.flatten(0, 1), dim=0)) == 150


@settings(max_examples=30, deadline=None)
@given(
    peers=st.integers(1, 3),
    indices=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    momentum=st.floats(0, 0.95),
    seed=st.integers(0, 2**32),
)
def test_update_is_the_formula(peers, indices, momentum, seed):
    torch.manual_seed(seed)
    bank = MemoryBank(peers, samples=10, width=4, momentum=momentum).double()
    embeddings = 5 * torch.randn(peers, len(indices), 4, dtype=torch.float64)
    expected = naively_updated(bank.rows.tolist(), embeddings.tolist(), indices, momentum)
    bank.update(embeddings, torch.tensor(indices))
    torch.testing.assert_close(bank.rows, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(bank.rows.norm(dim=-1), torch.ones(peers, 10, dtype=torch.float64))


def test_untouched_rows_stay_as_they_are():
    bank = MemoryBank(2, 6, 4)
    before = bank.rows.clone()
    bank.update(torch.randn(2, 2, 4), torch.tensor([4, 1]))
    changed = (bank.rows != before).any(-1)
    assert changed.tolist() == [[False, True, False, False, True, False]] * 2


def test_order_of_a_batch_does_not_matter():
    bank, other = MemoryBank(2, 6, 8), MemoryBank(2, 6, 8)
    other.load_state_dict(bank.state_dict())
    embeddings, indices = torch.randn(2, 9, 8), torch.tensor([3, 1, 3, 3, 0, 1, 5, 5, 5])
    order = torch.randperm(9)
    bank.update(embeddings, indices)
    other.update(embeddings[:, order], indices[order])
    torch.testing.assert_close(bank.rows, other.rows)


def test_converges_to_constant_embeddings():
    bank = MemoryBank(2, 3, 8)
    embeddings = torch.randn(2, 3, 8)
    for _ in range(60):
        bank.update(embeddings, torch.arange(3))
    torch.testing.assert_close(bank.rows, F.normalize(embeddings, dim=-1))


def test_state_dict_restores_the_rows():
    bank, other = MemoryBank(2, 5, 4), MemoryBank(2, 5, 4)
    bank.update(torch.randn(2, 2, 4), torch.tensor([0, 3]))
    assert list(bank.state_dict()) == ["rows"]
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.rows, bank.rows)


def test_has_no_gradient():
    bank = MemoryBank(2, 5, 4)
    embeddings = torch.randn(2, 3, 4, requires_grad=True)
    bank.update(embeddings, torch.arange(3))
    assert not list(bank.parameters())
    assert not bank.rows.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_update_with_half_precision_embeddings(dtype):
    bank, other = MemoryBank(2, 5, 16), MemoryBank(2, 5, 16)
    other.load_state_dict(bank.state_dict())
    embeddings = torch.randn(2, 3, 16)
    bank.update(embeddings.to(dtype), torch.arange(3))
    other.update(embeddings.to(dtype).float(), torch.arange(3))
    torch.testing.assert_close(bank.rows, other.rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_affect_the_rows(dtype):
    bank, other = MemoryBank(2, 5, 16), MemoryBank(2, 5, 16)
    other.load_state_dict(bank.state_dict())
    embeddings = torch.randn(2, 3, 16)
    with torch.autocast("cpu", dtype=dtype):
        bank.update(embeddings, torch.arange(3))
    other.update(embeddings, torch.arange(3))
    torch.testing.assert_close(bank.rows, other.rows)
