"""The comparison of runs with the first of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import stats

from peerdistill.study.comparison.configurations import (
    SameConfiguration,
    by_configuration,
    different_options,
    named_differences,
)
from peerdistill.study.comparison.measured import TOP1, Measured
from peerdistill.study.results.intervals import Interval, paired_interval
from peerdistill.study.results.verdicts import Scores, Verdict, judge


@dataclass(frozen=True)
class McNemar:
    """The exact test of McNemar (1947): whether one of two leaders is right more often where just one is right.

    Attributes:
        only_first: Number of images that only the first leader classifies correctly.
        only_second: Number of images that only the second leader classifies correctly.
        p: Two-sided p-value.
    """

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class Pair:
    """A run compared with the first run on the same samples.

    Attributes:
        run: Path of the run.
        column: What was measured.
        samples: Number of samples.
        interval: Accuracy of its leader minus that of the first run in points. The interval covers the choice of
            samples, not the seeds.
        mcnemar: The test on images; None for episodes.
    """

    run: str
    column: str
    samples: int
    interval: Interval
    mcnemar: McNemar | None

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "run": self.run,
            "column": self.column,
            "samples": self.samples,
            "difference": self.interval.as_dict(),
            "mcnemar": self.mcnemar and asdict(self.mcnemar),
        }


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: The runs, with their results.
        unit: What the samples are: "images" or "episodes".
        configurations: Runs by configuration without the seed.
        differences: Options that differ between the configurations, with the value of each.
        pairs: Every other run compared with the first one.
        verdicts: Every other configuration compared with that of the first run, over seeds; none if all
            configurations have one seed.
    """

    runs: tuple[Measured, ...]
    unit: str
    configurations: tuple[SameConfiguration, ...]
    differences: Mapping[str, tuple[Any, ...]]
    pairs: tuple[Pair, ...]
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "unit": self.unit,
            "configurations": {one.name: [str(run.path) for run in one.runs] for one in self.configurations},
            "differences": named_differences(self.configurations, self.differences),
            "results": [one.as_dict() for one in self.runs],
            "pairs": [one.as_dict() for one in self.pairs],
            "verdicts": [one.as_dict() for one in self.verdicts],
        }


def compare(runs: Sequence[Measured]) -> Comparison:
    """Return runs side by side, each compared with the first one.

    Args:
        runs: At least two runs with the same samples in the same columns.
    """
    unit = "images" if TOP1 in runs[0].samples else "episodes"
    groups = by_configuration([one.run for one in runs])
    pairs = [_pair(runs[0], other, column) for column in runs[0].samples for other in runs[1:]]
    has_seeds = any(len(group.runs) > 1 for group in groups)
    verdicts = _verdicts(groups, runs, unit) if has_seeds else ()
    return Comparison(tuple(runs), unit, groups, different_options(groups), tuple(pairs), tuple(verdicts))


def _pair(first: Measured, second: Measured, column: str) -> Pair:
    ours, theirs = second.samples[column], first.samples[column]
    test = mcnemar(theirs > 0, ours > 0) if column == TOP1 else None
    return Pair(second.name, column, len(ours), paired_interval(ours - theirs), test)


def mcnemar(first: Bool[np.ndarray, " samples"], second: Bool[np.ndarray, " samples"]) -> McNemar:
    """Return the exact test of McNemar for what two leaders classify correctly.

    Example:
        >>> mcnemar(np.array([True, True, True, False]), np.array([True, False, False, False]))
        McNemar(only_first=2, only_second=0, p=0.5)
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    different = only_first + only_second
    p = float(stats.binomtest(only_first, different).pvalue) if different else 1.0
    return McNemar(only_first, only_second, p)


def _verdicts(groups: Sequence[SameConfiguration], runs: Sequence[Measured], unit: str) -> Iterator[Verdict]:
    for column in runs[0].samples:
        first, *others = (_scores(group, runs, column) for group in groups)
        for group, scores in zip(groups[1:], others, strict=True):
            name = f"the leader of {group.name}" if column == TOP1 else f"{column}: the leader of {group.name}"
            yield judge(name, f"the leader of {groups[0].name}", scores, first, unit)


def _scores(group: SameConfiguration, runs: Sequence[Measured], column: str) -> Scores:
    return {one.seed: one.samples[column] for one in runs if one.run in group.runs}
