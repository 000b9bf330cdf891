"""Numbers of results as JSON has them."""

import math

import numpy as np


def finite(value: float | np.floating) -> float | None:
    """Return a number as a float; None for NaN and infinity, which JSON lacks."""
    return float(value) if math.isfinite(value) else None
