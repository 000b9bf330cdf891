"""Claims such as "A is better than B", never without their interval.

Axes: R seeds, N samples (episodes or images) that all seeds share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from peerdistill.study.results.intervals import (
    LEAST_SEEDS,
    Improvement,
    Interval,
    bootstrap,
    crossed_interval,
    improvement,
    paired_interval,
)

Outcome = Literal["better", "worse", "not told apart", "too few seeds", "no interval"]

Scores = Mapping[int, Float[np.ndarray, " _samples"]]
"""The accuracy in percent on every sample, by seed. An array of one number is the mean over all samples. Arrays of
different lengths are compared by their means."""


@dataclass(frozen=True)
class Verdict:
    """How one trained network compares with another, paired over seeds.

    Attributes:
        first: What is judged, such as "MCL-OKD's leader".
        second: What it is compared with, such as "the plain network".
        seeds: The seeds that both have.
        samples: Number of samples that all seeds share and that ``interval`` covers, too; 1 if only means are compared.
        unit: What the samples are, such as "episodes".
        interval: Mean difference in points, positive if ``first`` is better; None with too few seeds.
        within: With too few seeds, the interval over samples alone; None with one sample.
        bootstrap: The 95 % bootstrap interval over seeds. It is too narrow for few seeds, so it decides nothing;
            None with too few seeds, or if all differences are equal.
        improvement: Share of the seeds with which ``first`` is better; None with too few seeds.
    """

    first: str
    second: str
    seeds: tuple[int, ...]
    samples: int
    unit: str
    interval: Interval | None
    within: Interval | None
    bootstrap: tuple[float, float] | None
    improvement: Improvement | None

    @property
    def outcome(self) -> Outcome:
        """What can be claimed; "no interval" if the difference is the same with all seeds: its spread is unknown."""
        if self.interval is None:
            return "too few seeds"
        if self.interval.known:
            return ("not told apart", "better", "worse")[self.interval.sign]
        return "no interval" if self.interval.mean else "not told apart"

    @property
    def sentence(self) -> str:
        """The verdict in words, with its interval and the number of seeds."""
        pair = f"{self.first} and {self.second}"
        if self.interval is None:
            return f"{pair}: too few seeds ({len(self.seeds)}) to compare{self._within()}"
        if not self.interval.known:
            apart = f"the difference between {pair} is {self.interval.mean:+.2f} points"
            found = apart if self.interval.mean else f"{pair} are equal"
            return f"{found} with each of {len(self.seeds)} seeds: no interval can be computed"
        if self.outcome == "not told apart":
            return f"{pair} are not told apart: {self.interval.mean:+.2f} points ({self._evidence(self.interval)})"
        points = f"{abs(self.interval.mean):.2f} points"
        return f"{self.first} is {self.outcome} than {self.second} by {points} ({self._evidence(self.interval)})"

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            **asdict(self),
            "interval": self.interval and self.interval.as_dict(),
            "within": self.within and self.within.as_dict(),
            "improvement": self.improvement and self.improvement.as_dict(),
            "outcome": self.outcome,
            "sentence": self.sentence,
        }

    def _evidence(self, interval: Interval) -> str:
        found = f"95 % interval {_ends(interval, interval.sign)}, {len(self.seeds)} seeds{self._and_samples()}"
        return (
            f"{found}, better with {self.improvement.wins:g} of {self.improvement.pairs}" if self.improvement else found
        )

    def _and_samples(self) -> str:
        return f", {self.samples:,} {self.unit}" if self.samples > 1 else ""

    def _within(self) -> str:
        if self.within is None or not self.within.known:
            return ""
        over = f"{self.samples:,} {self.unit}, not over seeds"
        return f"; {self.within.mean:+.2f} points (95 % interval {_ends(self.within, 0)} over {over})"


def _ends(interval: Interval, sign: int) -> str:
    """Return the ends of an interval; without signs if the sentence says "better" or "worse"."""
    if sign:
        low, high = sorted((abs(interval.low), abs(interval.high)))
        return f"{low:.2f} to {high:.2f}"
    return f"{interval.low:+.2f} to {interval.high:+.2f}"


def judge(first: str, second: str, scores: Scores, others: Scores, unit: str = "episodes") -> Verdict:
    """Return how ``first`` compares with ``second`` over the seeds that both have.

    Args:
        first: What is judged.
        second: What it is compared with.
        scores: Accuracies of ``first`` in percent.
        others: Accuracies of ``second`` on the same samples.
        unit: What the samples are.

    Example:
        >>> scores, others = ({0: np.array([75.0]), 1: np.array([76.0])}, {0: np.array([74.0]), 1: np.array([74.0])})
        >>> judge("A's leader", "B", scores, others).sentence
        "A's leader and B: too few seeds (2) to compare"
    """
    seeds = tuple(sorted(scores.keys() & others.keys()))
    if not seeds:
        return Verdict(first, second, seeds, 1, unit, None, None, None, None)
    differences_RN = _differences(scores, others, seeds)
    samples = differences_RN.shape[1]
    by_seed = differences_RN.mean(1)
    if len(seeds) < LEAST_SEEDS:
        within = paired_interval(differences_RN.mean(0)) if samples > 1 else None
        return Verdict(first, second, seeds, samples, unit, None, within, None, None)
    interval = crossed_interval(differences_RN) if samples > 1 else paired_interval(by_seed)
    ends = bootstrap(by_seed) if interval.known else None
    return Verdict(first, second, seeds, samples, unit, interval, None, ends, improvement(by_seed))


def _differences(scores: Scores, others: Scores, seeds: Sequence[int]) -> Float[np.ndarray, "seeds samples"]:
    """Return the differences on every sample, or those of the means if not all seeds have the same samples."""
    pairs = [(scores[seed], others[seed]) for seed in seeds]
    if len({len(one) for pair in pairs for one in pair}) > 1:
        pairs = [(ours.mean(keepdims=True), theirs.mean(keepdims=True)) for ours, theirs in pairs]
    return np.stack([ours - theirs for ours, theirs in pairs])
