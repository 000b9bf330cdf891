"""The contrast as the paper writes it, and small inputs for it."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F


class Case(NamedTuple):
    """The tensors that ``multi_view_nce`` takes."""

    embeddings: Tensor
    banks: Tensor
    indices: Tensor
    negatives: Tensor


def _draw_case(
    peers: int = 3, batch: int = 5, samples: int = 40, negatives: int = 7, width: int = 6, seed: int = 0
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    return Case(
        embeddings=torch.randn(peers, batch, width, generator=generator, dtype=torch.float64),
        banks=F.normalize(torch.randn(peers, samples, width, generator=generator, dtype=torch.float64), dim=-1),
        indices=torch.randint(samples, (batch,), generator=generator),
        negatives=torch.randint(samples, (batch, negatives), generator=generator),
    )


def _critic(g_a: list[float], g_b: list[float], tau: float) -> float:
    """Eq. 6."""
    cosine = sum(x * y for x, y in zip(g_a, g_b, strict=True)) / (math.hypot(*g_a) * math.hypot(*g_b))
    return math.exp(cosine / tau)


def _one_pair(
    anchors: list[list[float]],
    bank: list[list[float]],
    positives: list[int],
    negatives: list[list[int]],
    tau: float,
    normaliser: str,
) -> float:
    """Eq. 9 to 11 for anchors of view a and the bank of view b."""
    N, B, S = len(bank), len(anchors), len(negatives[0])
    h = [
        [_critic(g_a, bank[row], tau) for row in (positive, *others)]
        for g_a, positive, others in zip(anchors, positives, negatives, strict=True)
    ]
    # Eq. 9, the sum over N samples estimated from those at hand: the anchor's 1 + S, or the whole batch's.
    in_all = N * fmean(h_ij for h_i in h for h_ij in h_i)
    Z = [N * fmean(h_i) if normaliser == "anchor" else in_all for h_i in h]
    loss = 0.0
    for h_i, Z_i in zip(h, Z, strict=True):
        p = [(h_ij / Z_i) / (h_ij / Z_i + S / N) for h_ij in h_i]  # eq. 10
        loss -= math.log(p[0]) + sum(math.log(1 - p_s) for p_s in p[1:])  # eq. 11
    return loss / B


def _naive_loss(case: Case, *, temperature: float = 0.1, normaliser: str = "anchor", views: str = "full") -> float:
    """Sum eq. 11 over the ordered pairs of views: all of them, or those with the leader ("core view")."""
    embeddings, banks, indices, negatives = (tensor.tolist() for tensor in case)
    leader = len(banks) - 1
    return sum(
        _one_pair(embeddings[a], banks[b], indices, negatives, temperature, normaliser)
        for a in range(len(embeddings))
        for b in range(len(banks))
        if a != b and (views == "full" or leader in (a, b))
    )


@pytest.fixture(scope="session")
def naive_loss() -> Callable[..., float]:
    """L_contrast in a Python loop over pairs, anchors and negatives, in float64."""
    return _naive_loss


@pytest.fixture(scope="session")
def draw_case() -> Callable[..., Case]:
    """Random float64 inputs of small sizes."""
    return _draw_case
