import math

import pytest
import torch

from peerdistill import CohortOutput

PEERS, BATCH, CLASSES, WIDTH = 3, 4, 5, 6


@pytest.fixture
def out():
    """Output of a cohort in float64. Logits, features and stem are leaves that require gradient."""
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul_(3).requires_grad_()

    logits = leaf(PEERS, BATCH, CLASSES)
    return CohortOutput(logits, leaf(PEERS, BATCH, WIDTH), leaf(BATCH, 2, 3, 3), logits.mean(0))


@pytest.fixture
def divergence():
    """A function: T^2 KL of the softened distributions in plain Python, averaged over the batch."""

    def softmax(scores, T):
        total = sum(math.exp(score / T) for score in scores)
        return [math.exp(score / T) / total for score in scores]

    def of(target, logits, T):
        rows = zip(target.tolist(), logits.tolist(), strict=True)
        found = 0.0
        for t, z in rows:
            found += sum(p * math.log(p / q) for p, q in zip(softmax(t, T), softmax(z, T), strict=True))
        return T**2 * found / len(target)

    return of


@pytest.fixture
def labels():
    return torch.tensor([4, 0, 0, 2])


@pytest.fixture
def indices():
    return torch.tensor([17, 3, 8, 3])
