"""Mean, deviation and confidence interval over few seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Mean, standard deviation and 95 % confidence interval of the mean.

    Attributes:
        mean: Mean of the values.
        deviation: Sample standard deviation (divided by n - 1); 0 for a single value.
        low: Lower end of the interval, by Student's t-distribution; minus infinity for a single value.
        high: Upper end of the interval; infinity for a single value.
    """

    mean: float
    deviation: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of ``values``. For paired differences, the interval shows whether they are more than noise.

    Example:
        >>> found = spread([1.0, 2.0, 3.0])
        >>> round(found.low, 2), found.mean, round(found.high, 2)
        (-0.48, 2.0, 4.48)
    """
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Spread(mean, 0.0, -math.inf, math.inf)
    deviation = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Spread(mean, deviation, mean - half, mean + half)
