import pytest
import torch

from peerdistill import CohortOutput

PEERS, BATCH, CLASSES, WIDTH = 3, 4, 5, 6


@pytest.fixture
def out():
    """What a cohort could have put out, in float64, every tensor a leaf that takes gradient."""
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul_(3).requires_grad_()

    return CohortOutput(leaf(PEERS, BATCH, CLASSES), leaf(PEERS, BATCH, WIDTH), leaf(BATCH, 2, 3, 3))


@pytest.fixture
def labels():
    return torch.tensor([4, 0, 0, 2])


@pytest.fixture
def indices():
    return torch.tensor([17, 3, 8, 3])
