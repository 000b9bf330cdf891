import numpy as np
import pytest

from support import photos


@pytest.fixture
def noise() -> np.ndarray:
    """A small RGB image (5, 7, 3), uint8."""
    return photos.noise(0, 5, 7)
