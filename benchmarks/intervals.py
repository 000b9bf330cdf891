"""How often 95 % intervals of paired differences contain the true mean: Student's t and bootstraps over few seeds.

    python benchmarks/intervals.py [--repeats 1000] [--json FILE]

The choice of methods in ``peerdistill.study.results.intervals`` rests on these figures. It takes a minute.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from measuring import give, header, parser
from peerdistill.study.results.intervals import crossed_interval, paired_interval

PAIRS = (3, 6, 10, 20, 30)
DIFFERENCES: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "heavy tails": lambda rng, shape: rng.standard_t(4, size=shape),
    "two modes": lambda rng, shape: rng.choice([-1.0, 1.0], size=shape) + 0.3 * rng.normal(size=shape),
}
SEEDS, EPISODES = (3, 6), 600
# Standard deviations of a difference in points: of seeds, of episodes that all seeds share, and of the rest.
PARTS = ((0.3, 3.0, 6.0), (1.0, 0.0, 6.0), (0.0, 0.0, 6.0), (0.3, 10.0, 6.0))


def share(low: np.ndarray, high: np.ndarray) -> float:
    """Return the share of intervals that contain 0."""
    return float(np.mean((low <= 0) & (high >= 0)))


def over_pairs(name: str, pairs: int, repeats: int) -> dict[str, Any]:
    rng = np.random.default_rng(pairs)
    drawn = DIFFERENCES[name](rng, (repeats, pairs))
    found = {"differences": name, "pairs": pairs}
    half = stats.t.ppf(0.975, pairs - 1) * drawn.std(1, ddof=1) / np.sqrt(pairs)
    found["Student's t"] = share(drawn.mean(1) - half, drawn.mean(1) + half)
    for method in ("percentile", "BCa"):
        ends = stats.bootstrap((drawn,), np.mean, axis=1, n_resamples=2000, batch=50, method=method, rng=rng)
        found[method] = share(ends.confidence_interval.low, ends.confidence_interval.high)
    return found


def over_seeds_and_episodes(parts: tuple[float, float, float], seeds: int, repeats: int) -> dict[str, Any]:
    rng = np.random.default_rng(seeds)
    of_seed, of_episode, of_rest = parts
    crossed, alone = [], []
    for _ in range(repeats):
        drawn = of_seed * rng.normal(size=(seeds, 1)) + of_episode * rng.normal(size=(1, EPISODES))
        drawn = drawn + of_rest * rng.normal(size=(seeds, EPISODES))
        crossed.append(crossed_interval(drawn))
        alone.append(paired_interval(drawn.mean(1)))
    found = {"seeds": seeds, "deviations": parts}
    for name, intervals in (("over seeds and episodes", crossed), ("over seeds alone", alone)):
        ends = np.array([(one.low, one.high) for one in intervals])
        found[name] = {"coverage": share(*ends.T), "width": float(np.mean(ends[:, 1] - ends[:, 0]))}
    return found


def main() -> None:
    options = parser("Coverage of 95 % intervals of a mean difference.", repeats=1000).parse_args()
    about = header(
        sizes=f"differences of points, {EPISODES} episodes; deviations of seeds, of shared episodes and of the rest",
        method=f"{options.repeats} simulations with fixed seeds, 2,000 resamples of each bootstrap",
    )
    report = {
        "header": about,
        "pairs": [over_pairs(name, pairs, options.repeats) for name in DIFFERENCES for pairs in PAIRS],
        "crossed": [over_seeds_and_episodes(parts, seeds, options.repeats) for seeds in SEEDS for parts in PARTS],
    }
    give(report, options)


if __name__ == "__main__":
    main()
