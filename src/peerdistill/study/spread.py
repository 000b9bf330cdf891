"""How far a mean over few seeds can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and 95 % interval of the mean.

    Attributes:
        mean: Over the values.
        deviation: Their standard deviation (of a sample: divided by n - 1); 0 for a single value.
        low: Lower end of the interval by Student's t; minus infinity for a single value.
        high: Upper end.
    """

    mean: float
    deviation: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of ``values``: of paired differences it tells whether they are more than noise."""
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Spread(mean, 0.0, -math.inf, math.inf)
    deviation = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Spread(mean, deviation, mean - half, mean + half)
