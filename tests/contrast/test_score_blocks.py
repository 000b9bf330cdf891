"""Score blocks against a plain product, and the aliasing contract of their buffers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from peerdistill.contrast import score_blocks
from peerdistill.contrast.keys import bank_keys
from peerdistill.contrast.score_blocks import Anchors, SubBatch

BATCH, PEERS, WIDTH, SAMPLES = 3, 2, 4, 25


@pytest.fixture
def anchors():
    return Anchors(1, torch.randn(BATCH, PEERS, WIDTH, dtype=torch.float64), torch.randn(BATCH, WIDTH).double())


@pytest.fixture
def banks():
    return torch.randn(2, SAMPLES, WIDTH, dtype=torch.float64)


def sub_batch_of(anchors, banks):
    """The anchors against 25 keys, seven in a block."""
    keys = bank_keys(banks, torch.zeros(BATCH).long(), torch.arange(SAMPLES), None, torch.float64)
    sub_batch = SubBatch(slice(None), [anchors], keys)
    assert [block.size for block in sub_batch.key_blocks] == [7, 7, 7, 4]
    return sub_batch


BYTES = 8 * BATCH * PEERS * 7  # of a block


@pytest.mark.parametrize(("limit", "cached"), [(0, 0), (BYTES, 0), (2 * BYTES, 1), (3 * BYTES, 2), (4 * BYTES, 4)])
def test_the_second_pass_has_the_same_scores_whatever_is_cached(
    anchors, banks, set_block_bytes, monkeypatch, limit, cached
):
    set_block_bytes(BYTES)
    monkeypatch.setattr(score_blocks, "CACHED_BYTES", limit)
    expected = torch.exp(anchors.embeddings_BAE @ banks[1].T)
    computed = []
    score = anchors.score
    monkeypatch.setattr(anchors, "score", lambda *args: computed.append(1) or score(*args))
    ((_, blocks),) = sub_batch_of(anchors, banks).scores(passes=2)
    for block, h in zip(blocks, expected.split(7, dim=-1), strict=True):
        torch.testing.assert_close(block.h, h)
        block.scratch.fill_(torch.nan)
    for block, h in zip(blocks, expected.split(7, dim=-1), strict=True):
        torch.testing.assert_close(block.h, h)
        block.h.fill_(0)
    assert len(computed) == 2 * 4 - cached


def test_one_pass_needs_one_block_of_memory(anchors, banks, set_block_bytes):
    set_block_bytes(BYTES)
    ((_, blocks),) = sub_batch_of(anchors, banks).scores(passes=1)
    assert len({block.h.data_ptr() for block in blocks}) == 1


def test_simultaneous_passes_do_not_share_memory(anchors, banks, set_block_bytes):
    set_block_bytes(BYTES)
    first, second = (sub_batch_of(anchors, banks).scores(passes=2) for _ in range(2))
    (_, of_first), (_, of_second) = next(first), next(second)
    addresses = [{block.h.data_ptr() for block in blocks} for blocks in (of_first, of_second)]
    assert addresses[0].isdisjoint(addresses[1])


def test_successive_calls_reuse_memory(anchors, banks, set_block_bytes):
    set_block_bytes(BYTES)
    addresses = []
    for _ in range(2):
        for _, blocks in sub_batch_of(anchors, banks).scores(passes=2):
            addresses.append([block.h.data_ptr() for block in blocks])
    assert addresses[0] == addresses[1]


def test_memory_allocated_in_inference_mode_can_be_used_outside(anchors, banks, set_block_bytes):
    set_block_bytes(BYTES)

    def in_a_new_thread():  # which has no memory yet
        with torch.inference_mode():
            for _, blocks in sub_batch_of(anchors, banks).scores(passes=2):
                list(blocks)
        for _, blocks in sub_batch_of(anchors, banks).scores(passes=2):
            assert all(block.h.add_(1).requires_grad is False for block in blocks)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_a_new_thread).result()


def test_gradient_is_that_of_autograd(anchors, banks, set_block_bytes):
    set_block_bytes(BYTES)
    slopes = torch.randn(BATCH, PEERS, SAMPLES, dtype=torch.float64)
    ((_, blocks),) = sub_batch_of(anchors, banks).scores(passes=2)
    for block, slope in zip(blocks, slopes.split(7, dim=-1), strict=True):
        block.add_key_gradient(slope)
    anchors.add_positive_gradient(torch.ones(BATCH, PEERS, dtype=torch.float64))
    x = anchors.embeddings_BAE.clone().requires_grad_()
    total = (x @ banks[1].T * slopes).sum() + (x * anchors.positives_B1E).sum()
    torch.testing.assert_close(anchors.gradient_BAE, torch.autograd.grad(total, x)[0])
