"""Lookup and update of both kinds of memory."""

import pytest
import torch
from torch.nn import functional as F

from peerdistill.contrast import BankMemory, ContrastOptions, QueueMemory, memory_for, multi_view_nce, queue_nce
from peerdistill.errors import PeerdistillWarning, UserError

LABELS = torch.arange(40) % 5
BATCH = (torch.tensor([2, 0, 1]), torch.tensor([7, 20, 31]))  # labels and indices


def memory(kind, **options):
    return memory_for(3, LABELS, ContrastOptions(negatives=kind, **{"count": 9, "width": 4, **options}))


@pytest.mark.parametrize(("kind", "shape"), [("own", (3, 9)), ("shared", (9,))])
def test_each_lookup_draws_new_negatives(kind, shape):
    found = memory(kind)
    first, second = (found.lookup(*BATCH)["negatives"] for _ in range(2))
    assert first.shape == second.shape == shape
    assert not torch.equal(first, second)


def test_all_draws_no_random_numbers():
    state = torch.get_rng_state()
    found = memory("all").bank
    torch.set_rng_state(state)
    kept = memory("all")
    drawn_so_far = torch.get_rng_state()
    assert kept.lookup(*BATCH)["negatives"] == "all"
    assert torch.equal(torch.get_rng_state(), drawn_so_far)
    assert torch.equal(found.rows, kept.bank.rows)


@pytest.mark.parametrize("kind", ["own", "shared", "all"])
def test_lookup_and_update_of_a_bank(kind):
    found = memory(kind, momentum=0.25)
    embeddings = torch.randn(3, 3, 4)
    before = found.bank.rows.clone()
    looked_up = found.lookup(*BATCH)
    loss = found.nce(embeddings, **looked_up)
    assert isinstance(found, BankMemory)
    assert loss == multi_view_nce(embeddings, before, BATCH[1], looked_up["negatives"], labels=LABELS)
    found.update(embeddings, *BATCH)
    moved = F.normalize(0.25 * before[:, 20] + 0.75 * F.normalize(embeddings[:, 1], dim=-1), dim=-1)
    torch.testing.assert_close(found.bank.rows[:, 20], moved)


def test_lookup_and_update_of_a_queue():
    found = memory("queue")
    embeddings = torch.randn(3, 3, 4)
    found.update(torch.randn(3, 5, 4), torch.arange(5), torch.arange(5))
    rows, labels = found.queue.rows.clone(), found.queue.labels.clone()
    assert isinstance(found, QueueMemory)
    assert found.nce(embeddings, **found.lookup(*BATCH)) == queue_nce(embeddings, rows, labels, BATCH[0])
    found.update(embeddings, *BATCH)
    assert found.queue.labels.tolist() == [0, 1, 2, 3, 4, 2, 0, 1, -1]


@pytest.mark.parametrize("kind", ["own", "shared", "all", "queue"])
def test_half_precision_halves_the_memory(kind):
    kept, halved = (memory(kind, bank_dtype=dtype) for dtype in ("float32", "bfloat16"))
    rows = {"queue": lambda of: of.queue.rows}.get(kind, lambda of: of.bank.rows)
    assert rows(halved).dtype == torch.bfloat16
    assert rows(kept).nbytes == 2 * rows(halved).nbytes


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("own", ["bank.rows"]),
        ("shared", ["bank.rows"]),
        ("all", ["bank.rows"]),
        ("queue", ["queue.labels", "queue.next", "queue.rows"]),
    ],
)
def test_state_dict_has_the_embeddings_and_nothing_else(kind, keys):
    assert sorted(memory(kind).state_dict()) == keys


@pytest.mark.parametrize("kind", ["own", "shared", "all", "queue"])
def test_one_label_leaves_no_negatives(kind):
    with pytest.raises(UserError, match="all training samples have the same label"):
        memory_for(3, torch.zeros(8, dtype=torch.long), ContrastOptions(negatives=kind, count=2))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("own", "drawing 32 negatives per anchor instead of 100: some anchors have only 32 samples of other labels"),
        ("shared", "using all 40 training samples as shared negatives instead of 100: there are no more"),
        ("queue", "the queue holds 40 samples instead of 100: there are no more training samples"),
    ],
)
def test_warning_if_there_are_fewer_samples(kind, sentence):
    with pytest.warns(PeerdistillWarning, match=sentence):
        memory(kind, count=100)


def test_options_are_checked():
    with pytest.raises(UserError, match=r"contrast\.count must be at least 1 and at most .*, found 0"):
        memory("shared", count=0)
