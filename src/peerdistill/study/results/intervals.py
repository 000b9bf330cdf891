"""Intervals of paired differences: which method is right for how many pairs.

A bootstrap over few pairs is too narrow. Share of 95 % intervals of the mean that contain the true mean, in 1,000
simulations with normal differences (``benchmarks/intervals.py``):

====== ============ ==================== =============
pairs  Student's t  bootstrap percentile bootstrap BCa
====== ============ ==================== =============
3      0.950        0.744                0.713
6      0.946        0.861                0.856
10     0.954        0.920                0.910
20     0.952        0.921                0.920
30     0.942        0.925                0.921
====== ============ ==================== =============

Student's t is used below 30 pairs, as for seeds, and the bootstrap from 30 pairs, as for episodes. Student's t covers
better for heavy tails and skewed differences, too: 0.87 with 3 skewed pairs. If differences have two modes, it covers
0.78 with 3 pairs and 0.95 with 6: three seeds are few with any method.

Differences over seeds *and* the same episodes (or images) share the choice of episodes, which an interval over seeds
alone does not cover: its coverage falls to 0.64 with 6 seeds if episodes differ much. :func:`crossed_interval` takes
both into account. Its coverage was 0.94 to 0.98 with 3 and 6 seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from peerdistill.study.spread import spread

LEAST_SEEDS = 3
"""Least number of seeds for an interval."""

LEAST_FOR_BOOTSTRAP = 30
"""Least number of pairs for a bootstrap."""

STUDENT = "Student's t"
BOOTSTRAP = "bootstrap"
CROSSED = "analysis of variance over seeds and samples"

_RESAMPLES = 9_999
_MOST_FOR_BCA = 2_000
_FLOATS_AT_ONCE = 2**22
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences with its 95 % confidence interval.

    Attributes:
        mean: Mean difference.
        low: Lower end; NaN if all differences are equal, because their spread is then unknown.
        high: Upper end; NaN as ``low``.
        method: How the interval was computed: :data:`STUDENT`, :data:`BOOTSTRAP` or :data:`CROSSED`.
    """

    mean: float
    low: float
    high: float
    method: str

    def as_dict(self) -> dict[str, float | str | None]:
        """Return the values for JSON; unknown ends are None."""
        low, high = (self.low, self.high) if self.known else (None, None)
        return {"mean": self.mean, "low": low, "high": high, "method": self.method}

    @property
    def known(self) -> bool:
        """Whether the interval has ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def sign(self) -> int:
        """1 if the whole interval is above 0, -1 if it is below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def paired_interval(differences: Float[np.ndarray, " pairs"]) -> Interval:
    """Return the interval of the mean of paired differences: Student's t below 30 pairs, else a bootstrap.

    Args:
        differences: At least two differences.

    Example:
        >>> found = paired_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(found.low, 2), found.mean, round(found.high, 2), found.method
        (-0.48, 2.0, 4.48, "Student's t")
    """
    method = STUDENT if len(differences) < LEAST_FOR_BOOTSTRAP else BOOTSTRAP
    mean = float(np.mean(differences))
    if np.ptp(differences) == 0:
        return Interval(mean, math.nan, math.nan, method)
    if method == STUDENT:
        found = spread(differences.tolist())
        return Interval(mean, found.low, found.high, method)
    return Interval(mean, *bootstrap(differences), method)


def bootstrap(differences: Float[np.ndarray, " pairs"]) -> tuple[float, float]:
    """Return the ends of the 95 % bootstrap interval of the mean, the same in every call.

    It is bias-corrected and accelerated (BCa; Efron, 1987) for up to 2,000 pairs. For more, the percentile interval is
    practically the same and takes a time that is not quadratic.

    Args:
        differences: At least two differences that are not all equal.
    """
    rng = np.random.default_rng(0)
    if len(differences) > _MOST_FOR_BCA:
        low, high = np.quantile(_resampled_means(differences, rng), ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    else:
        how = {"batch": max(1, _FLOATS_AT_ONCE // len(differences)), "confidence_level": _LEVEL, "method": "BCa"}
        found = stats.bootstrap((differences,), np.mean, n_resamples=_RESAMPLES, rng=rng, **how)
        low, high = found.confidence_interval
    return float(low), float(high)


def _resampled_means(
    differences: Float[np.ndarray, " pairs"], rng: np.random.Generator
) -> Float[np.ndarray, " resamples"]:
    """Return the means of resamples of the pairs.

    A mean depends only on how often each value was drawn, and these counts have a multinomial distribution. Differences
    of images have three values, so this takes milliseconds where drawing the pairs takes seconds.
    """
    values, counts = np.unique(differences, return_counts=True)
    at_once = max(1, _FLOATS_AT_ONCE // len(values))
    sizes = [min(at_once, _RESAMPLES - start) for start in range(0, _RESAMPLES, at_once)]
    drawn = (rng.multinomial(len(differences), counts / len(differences), size) @ values for size in sizes)
    return np.concatenate(list(drawn)) / len(differences)


def crossed_interval(differences: Float[np.ndarray, "seeds samples"]) -> Interval:
    """Return the interval of the mean difference over seeds and samples, such as episodes, that all seeds share.

    Seeds and samples are crossed random effects. The variance of the mean follows from the mean squares of a two-way
    analysis of variance, and its degrees of freedom from Satterthwaite (1946).

    Args:
        differences: Differences of at least two seeds (rows) on at least two samples.
    """
    seeds, samples = differences.shape
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Interval(mean, math.nan, math.nan, CROSSED)
    by_seed, by_sample = differences.mean(1), differences.mean(0)
    rest = differences - by_seed[:, None] - by_sample + mean
    degrees = np.array([seeds - 1, samples - 1, (seeds - 1) * (samples - 1)])
    squares = np.array([samples * np.var(by_seed, ddof=1), seeds * np.var(by_sample, ddof=1), np.sum(rest**2)])
    squares[2] /= degrees[2]
    total = squares[0] + squares[1] - squares[2]
    larger = int(squares[1] > squares[0])
    if total >= squares[larger]:
        freedom = total**2 / np.sum(squares**2 / degrees)
    else:  # one effect is estimated as less than nothing: only the other counts
        total, freedom = squares[larger], degrees[larger]
    half = float(stats.t.ppf((1 + _LEVEL) / 2, freedom) * math.sqrt(total / (seeds * samples)))
    return Interval(mean, mean - half, mean + half, CROSSED)


@dataclass(frozen=True)
class Improvement:
    """Probability of improvement: share of the pairs with a positive difference, with its 95 % interval.

    It is the paired form of the probability of improvement of Agarwal et al. (2021). The interval is that of Wilson
    (1927) for a share.

    Attributes:
        wins: Number of pairs with a positive difference; a difference of 0 counts half.
        pairs: Number of pairs.
        low: Lower end of the interval, 0..1.
        high: Upper end of the interval, 0..1.
    """

    wins: float
    pairs: int
    low: float
    high: float

    @property
    def probability(self) -> float:
        """Share of the pairs, 0..1."""
        return self.wins / self.pairs

    def as_dict(self) -> dict[str, float]:
        """Return the values for JSON."""
        return {"probability": self.probability, **vars(self)}


def improvement(differences: Float[np.ndarray, " pairs"]) -> Improvement:
    """Return the probability of improvement of at least one pair.

    Example:
        >>> found = improvement(np.array([1.0, 2.0, -1.0, 0.0]))
        >>> found.wins, found.pairs, found.probability
        (2.5, 4, 0.625)
    """
    pairs = len(differences)
    wins = float(np.sum(differences > 0) + np.sum(differences == 0) / 2)
    low, high = (
        stats.binomtest(whole, pairs).proportion_ci(_LEVEL, "wilson") for whole in (math.floor(wins), math.ceil(wins))
    )
    return Improvement(wins, pairs, float(low.low), float(high.high))
