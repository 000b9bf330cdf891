"""The keys that each sample is scored against, in blocks, with both ways to handle negatives per anchor."""

import pytest
import torch

from peerdistill.contrast import keys
from peerdistill.contrast.keys import CommonKeys, GatheredKeys, bank_keys, queue_keys

PEERS, BATCH, SAMPLES, WIDTH = 3, 5, 23, 4
LABELS = torch.arange(SAMPLES) % 3
INDICES = torch.tensor([3, 0, 14, 3, 22])


@pytest.fixture
def banks():
    return torch.randn(PEERS, SAMPLES, WIDTH, dtype=torch.float64)


def expanded(found, peer):
    """For each sample the embeddings it is scored against, each as often as it counts, sorted."""
    embeddings = [[] for _ in range(BATCH)]
    for samples, of_samples in found.sub_batches():
        for block in of_samples.blocks(anchor_peers=2):
            of_block = block.embeddings(peer)
            counts_bn = torch.ones(len(range(BATCH)[samples]), block.size)
            for factor in (block.mask, block.multiplicity):
                counts_bn = counts_bn if factor is None else counts_bn * factor()
            for place, sample in enumerate(range(BATCH)[samples]):
                of_sample = of_block if of_block.ndim == 2 else of_block[place]
                for row, count in zip(of_sample.tolist(), counts_bn[place].int().tolist(), strict=True):
                    embeddings[sample] += count * [tuple(row)]
    return [sorted(of_sample) for of_sample in embeddings]


def expected(banks, rows, peer):
    return [sorted(tuple(banks[peer, row].tolist()) for row in of_sample) for of_sample in rows]


@pytest.mark.parametrize("size", [1, 200, 2**20])
@pytest.mark.parametrize("gather_cost", [0, 100], ids=["gathered", "multiplicity"])
def test_negatives_per_anchor(banks, set_block_bytes, monkeypatch, size, gather_cost):
    set_block_bytes(size)
    monkeypatch.setattr(keys, "GATHER_COST", gather_cost)
    own = torch.randint(SAMPLES, (BATCH, 9))
    own[:, -1] = own[:, 0]  # a repeated draw
    found = bank_keys(banks, INDICES, own, LABELS, torch.float64)
    assert isinstance(found, CommonKeys if gather_cost else GatheredKeys)
    assert found.counts.tolist() == [9] * BATCH
    for peer in range(PEERS):
        assert expanded(found, peer) == expected(banks, own.tolist(), peer)


@pytest.mark.parametrize("size", [1, 200, 2**20])
@pytest.mark.parametrize("kind", ["shared", "all"])
def test_shared_and_all_skip_the_anchors_label(banks, set_block_bytes, size, kind):
    set_block_bytes(size)
    shared = torch.tensor([1, 1, 3, 0, 21, 7, 8])
    found = bank_keys(banks, INDICES, shared if kind == "shared" else "all", LABELS, torch.float64)
    candidates = shared.tolist() if kind == "shared" else range(SAMPLES)
    rows = [[row for row in candidates if LABELS[row] != LABELS[own]] for own in INDICES]
    assert found.counts.tolist() == [len(of_sample) for of_sample in rows]
    for peer in range(PEERS):
        assert expanded(found, peer) == expected(banks, rows, peer)


def test_queue_skips_empty_entries_too(banks):
    labels = LABELS.clone()
    labels[10:15] = -1
    found = queue_keys(banks, labels, torch.tensor([0, 1, 2, 2, 0]), torch.float64)
    rows = [[row for row in range(SAMPLES) if labels[row] not in (-1, own)] for own in (0, 1, 2, 2, 0)]
    assert expanded(found, 1) == expected(banks, rows, 1)
    assert found.counts.tolist() == [len(of_sample) for of_sample in rows]


def test_few_negatives_per_anchor_are_gathered_and_many_are_counted():
    banks = torch.zeros(4, 1000, 2)
    kinds = {
        drawn: type(bank_keys(banks, torch.tensor([0, 1]), torch.zeros(2, drawn).long(), None, torch.float32))
        for drawn in (2, 900)
    }
    assert kinds == {2: GatheredKeys, 900: CommonKeys}


def test_blocks_keep_to_the_size_limit(set_block_bytes):
    """A block holds the float32 scores of all anchors, and at least one key."""
    banks, anchor_peers = torch.zeros(PEERS, 200, WIDTH), 2
    for size in (7, 50):
        set_block_bytes(4 * size * anchor_peers * BATCH)
        found = bank_keys(banks, INDICES, torch.arange(200), None, torch.float32)
        assert {block.size for block in found.blocks(anchor_peers)} == {size, 200 % size or size}
    set_block_bytes(1)
    assert {block.size for block in found.blocks(anchor_peers)} == {1}


def test_gathered_embeddings_keep_to_the_size_limit(set_block_bytes):
    banks, own = torch.zeros(PEERS, 10_000, WIDTH), torch.zeros(BATCH, 6).long()
    found = bank_keys(banks, INDICES, own, None, torch.float32)
    set_block_bytes(4 * WIDTH * 6 * 2)  # six embeddings for each of two samples
    assert [samples for samples, _ in found.sub_batches()] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [block.size for _, part in found.sub_batches() for block in part.blocks(2)] == [6, 6, 6]
    set_block_bytes(4 * WIDTH * 4)  # four of the six embeddings of one sample
    assert [block.size for _, part in found.sub_batches() for block in part.blocks(2)] == [4, 2] * BATCH
