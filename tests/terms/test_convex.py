"""The weights of the best convex combination against many other weights."""

import pytest
import torch

from peerdistill.terms.convex import best_weights


def cross_entropies(weights_BM, margins_MBC):
    return torch.einsum("bm,mbc->bc", weights_BM.double(), margins_MBC.double()).logsumexp(-1)


def draw_margins(peers, size, dtype=torch.float64, batch=200, classes=10):
    """Margins of peers that are better than chance, so that combinations are better than single peers."""
    generator = torch.Generator().manual_seed(peers)
    logits = torch.randn(peers, batch, classes, generator=generator, dtype=torch.float64)
    logits[..., 0] += 1
    return (size * (logits - logits[..., :1])).to(dtype)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("peers", [2, 4, 8])
def test_no_other_weights_are_better(peers, size):
    """Compared with single peers, equal weights, random weights and weights close to those found."""
    margins = draw_margins(peers, size)
    found = best_weights(margins)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(200, dtype=torch.float64))
    least = cross_entropies(found, margins)
    near = [
        found.lerp(corner.expand_as(found), share) for corner in torch.eye(peers).double() for share in (1, 0.1, 1e-3)
    ]
    drawn = torch.distributions.Dirichlet(torch.full((peers,), 0.5, dtype=torch.float64)).sample((50, 200))
    for other in (*near, *drawn, torch.full_like(found, 1 / peers)):
        assert (cross_entropies(other, margins) - least).min() > -1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype):
    margins = draw_margins(4, 10.0, dtype)
    found = best_weights(margins)
    assert found.dtype == torch.float32
    worse = cross_entropies(found, margins) - cross_entropies(best_weights(margins.double()), margins)
    assert worse.abs().max() < 1e-4
