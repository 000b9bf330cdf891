import pytest
import torch

from peerdistill.contrast import scoring
from peerdistill.contrast.scoring import GatherScorer, ProductScorer, cheapest_scorer

PEERS, BATCH, COLUMNS, SAMPLES, WIDTH = 3, 7, 5, 11, 4


@pytest.fixture
def anchors():
    return torch.randn(PEERS, BATCH, WIDTH, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def bank():
    return torch.randn(SAMPLES, WIDTH, dtype=torch.float64)


@pytest.fixture
def columns():
    """Rows to score; each sample of the batch asks for its first row twice."""
    drawn = torch.randint(SAMPLES, (BATCH, COLUMNS))
    drawn[:, -1] = drawn[:, 0]
    return drawn


@pytest.mark.parametrize("kind", [ProductScorer, GatherScorer])
@pytest.mark.parametrize("samples_per_block", [0, 1, 3, BATCH, 100])
def test_scores_and_their_way_back(anchors, bank, columns, kind, samples_per_block):
    scorer = kind(columns, samples_per_block)
    expected = (anchors[:, :, None, :] * bank[columns]).sum(-1)
    slopes = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad(expected, anchors, slopes)
    with torch.no_grad():
        torch.testing.assert_close(scorer.scores(anchors, bank), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(scorer.pull_back(slopes, bank), expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("samples_per_block", [2, BATCH])
def test_both_routes_agree(anchors, bank, columns, samples_per_block):
    anchors = anchors.detach()
    product, gather = ProductScorer(columns, samples_per_block), GatherScorer(columns, samples_per_block)
    scores = product.scores(anchors, bank)
    torch.testing.assert_close(scores, gather.scores(anchors, bank), rtol=1e-12, atol=1e-12)
    slopes = scores.sigmoid()
    torch.testing.assert_close(product.pull_back(slopes, bank), gather.pull_back(slopes, bank), rtol=1e-12, atol=1e-12)


def test_few_columns_are_gathered_and_many_picked_from_a_product():
    banks = torch.zeros(4, 1000, 2)
    chosen = {
        columns: type(cheapest_scorer(3, banks, torch.zeros(2, columns, dtype=torch.long))) for columns in (2, 900)
    }
    assert chosen == {2: GatherScorer, 900: ProductScorer}


@pytest.mark.parametrize("columns", [2, 90])
def test_blocks_keep_to_their_memory(monkeypatch, columns):
    """What one block needs: scores of all anchors against the bank, or the gathered rows; at least one sample's."""
    samples, width, anchor_peers = 200, 6, 3
    banks = torch.zeros(4, samples, width)
    scorer = cheapest_scorer(anchor_peers, banks, torch.zeros(64, columns, dtype=torch.long))
    floats = anchor_peers * samples if isinstance(scorer, ProductScorer) else columns * width
    budget = 5 * 4 * floats
    monkeypatch.setattr(scoring, "_BLOCK_BYTES", budget)
    assert cheapest_scorer(anchor_peers, banks, scorer.columns_BK).samples_per_block == 5
    monkeypatch.setattr(scoring, "_BLOCK_BYTES", 1)
    assert cheapest_scorer(anchor_peers, banks, scorer.columns_BK).samples_per_block == 1
