"""The contrast as the paper writes it, and small inputs for it."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast import keys, score_blocks


class Case(NamedTuple):
    """The tensors that ``multi_view_nce`` takes, with negatives per anchor."""

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


def _listed_negatives(case: Case, negatives: Tensor | str | list | None, labels: Tensor | None) -> list[list[int]]:
    """The rows of each anchor's negatives, one by one, for each source of negatives."""
    negatives = case.negatives if negatives is None else negatives
    if isinstance(negatives, list):
        return negatives
    if isinstance(negatives, Tensor) and negatives.ndim == 2:
        return negatives.tolist()
    rows = range(case.banks.shape[1]) if isinstance(negatives, str) else negatives.tolist()
    if labels is None:
        return [list(rows)] * len(case.indices)
    label = labels.tolist()
    return [[row for row in rows if label[row] != label[own]] for own in case.indices.tolist()]


def _critic(g_a: list[float], g_b: list[float], tau: float) -> float:
    """Eq. 6."""
    cosine = sum(x * y for x, y in zip(g_a, g_b, strict=True)) / (math.hypot(*g_a) * math.hypot(*g_b))
    return math.exp(cosine / tau)


def _one_pair(
    anchors: list[list[float]],
    positives: list[list[float]],
    negatives: list[list[list[float]]],
    N: int,
    tau: float,
    normaliser: str,
) -> float:
    """Eq. 9 to 11 for anchors of view a, and positives and negatives of view b."""
    h = [
        [_critic(g_a, g_b, tau) for g_b in (positive, *others)]
        for g_a, positive, others in zip(anchors, positives, negatives, strict=True)
    ]
    # Eq. 9, with the sum over N samples estimated from the anchor's 1 + S, or from those of the whole batch.
    of_batch = N * fmean(h_ij for h_i in h for h_ij in h_i)
    Z = [N * fmean(h_i) if normaliser == "anchor" else of_batch for h_i in h]
    loss = 0.0
    for h_i, Z_i in zip(h, Z, strict=True):
        S = len(h_i) - 1
        p = [(h_ij / Z_i) / (h_ij / Z_i + S / N) for h_ij in h_i]  # eq. 10
        loss -= math.log(p[0]) + sum(math.log(1 - p_s) for p_s in p[1:])  # eq. 11
    return loss / len(h)


def _naive_loss(
    case: Case,
    negatives: Tensor | str | list | None = None,
    labels: Tensor | None = None,
    *,
    temperature: float = 0.1,
    normaliser: str = "anchor",
    views: str = "full",
    samples: int | None = None,
) -> float:
    """Sum eq. 11 over the ordered pairs of views: all of them, or those with the leader ("core view")."""
    embeddings, banks, own = case.embeddings.tolist(), case.banks.tolist(), case.indices.tolist()
    rows = _listed_negatives(case, negatives, labels)
    leader = len(banks) - 1
    return sum(
        _one_pair(
            embeddings[a],
            [banks[b][row] for row in own],
            [[banks[b][row] for row in others] for others in rows],
            samples or len(banks[b]),
            temperature,
            normaliser,
        )
        for a in range(len(embeddings))
        for b in range(len(banks))
        if a != b and (views == "full" or leader in (a, b))
    )


def _autograd_loss(
    case: Case,
    negatives: Tensor | str | list | None = None,
    labels: Tensor | None = None,
    *,
    temperature: float = 0.1,
    normaliser: str = "anchor",
    views: str = "full",
    objective: str = "nce",
) -> Tensor:
    """The contrast anchor by anchor, for autograd: eq. 8, or eq. 11 with constant Z."""
    peers, N = case.banks.shape[:2]
    rows = _listed_negatives(case, negatives, labels)
    key_rows = [[own, *others] for own, others in zip(case.indices.tolist(), rows, strict=True)]
    looked_up = [[bank[chosen] for chosen in key_rows] for bank in case.banks]

    def pair(a: int, b: int) -> Tensor:
        unit = F.normalize(case.embeddings[a], dim=-1)
        h = [torch.exp(g_b @ g_a / temperature) for g_a, g_b in zip(unit, looked_up[b], strict=True)]
        if objective == "softmax":
            return torch.stack([-(h_i[0] / h_i.sum()).log() for h_i in h]).mean()
        of_batch = N * torch.cat(h).detach().mean()
        loss = case.embeddings.new_zeros(())
        for h_i in h:
            Z, S = N * h_i.detach().mean() if normaliser == "anchor" else of_batch, len(h_i) - 1
            p = (h_i / Z) / (h_i / Z + S / N)
            loss = loss - p[0].log() - (1 - p[1:]).log().sum()
        return loss / len(h)

    pairs = [(a, b) for a in range(peers) for b in range(peers) if a != b]
    return sum(pair(a, b) for a, b in pairs if views == "full" or peers - 1 in (a, b))


@pytest.fixture(scope="session")
def naive_loss() -> Callable[..., float]:
    """L_contrast in a Python loop over pairs, anchors and negatives, in float64."""
    return _naive_loss


@pytest.fixture(scope="session")
def autograd_loss() -> Callable[..., Tensor]:
    """L_contrast anchor by anchor in PyTorch, differentiated by autograd."""
    return _autograd_loss


@pytest.fixture(scope="session")
def draw_case() -> Callable[..., Case]:
    """Random float64 inputs of small sizes."""
    return _draw_case


@pytest.fixture
def set_block_bytes(monkeypatch) -> Callable[[int], None]:
    """Set the size of a block, so that a few samples need many blocks; the scores of three blocks are cached."""

    def set_size(size: int) -> None:
        monkeypatch.setattr(keys, "CPU_BLOCK_BYTES", size)
        monkeypatch.setattr(keys, "GATHER_BLOCKS", 1)
        monkeypatch.setattr(keys, "MIN_BLOCK_KEYS", 1)
        monkeypatch.setattr(score_blocks, "CACHED_BYTES", 3 * size)

    return set_size
