"""What can be said of runs, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from jaxtyping import Float

from peerdistill.runs.predictions import same_images
from peerdistill.study.report.groups import Group
from peerdistill.study.report.reported_run import ReportedRun
from peerdistill.study.results import Verdict, judge
from peerdistill.study.results.intervals import LEAST_SEEDS
from peerdistill.study.results.verdicts import Outcome, Scores
from peerdistill.study.spread import spread


@dataclass(frozen=True)
class Difference:
    """Leaders of a group compared with those of the baseline, paired by seed.

    Attributes:
        label: The group.
        baseline: The baseline.
        mean: Mean difference of the top-1 accuracy in percentage points.
        verdict: What can be claimed.
        time: Mean time of the group's trainings divided by that of the baseline; None if it is unknown.
    """

    label: str
    baseline: str
    mean: float
    verdict: Verdict
    time: float | None

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        sentence = f"{self.verdict.sentence[0].upper()}{self.verdict.sentence[1:]}"
        if self.time is None:
            return f"{sentence}."
        return f"{sentence}, with {self.time:.1f} times its training time."

    @property
    def interval(self) -> str:
        """The 95 % interval in words."""
        found, within = self.verdict.interval, self.verdict.within
        if found is not None and found.known:
            return f"{found.low:+.2f} to {found.high:+.2f}"
        if within is not None and within.known:
            return f"{within.low:+.2f} to {within.high:+.2f} over images, not over seeds"
        return "none"


def differences(groups: Sequence[Group], baseline: Group) -> list[Difference]:
    """Return the difference of every other group that has evaluation images and a seed in common with the baseline."""
    found = [_difference(group, baseline) for group in groups if group is not baseline]
    return [one for one in found if one is not None]


def _difference(group: Group, baseline: Group) -> Difference | None:
    ours, theirs = group.leaders(), baseline.leaders()
    common = ours.keys() & theirs.keys()
    if not common or group.options["data"] != baseline.options["data"] or not _have_same_images(group, baseline):
        return None
    scores, others = _scores(group, baseline)
    found = judge(f"the leader of {group.label}", baseline.label, scores, others, "images")
    times = [group.times(), baseline.times()]
    time = fmean(times[0]) / fmean(times[1]) if all(times) and fmean(times[1]) > 0 else None
    return Difference(group.label, baseline.label, fmean(ours[seed] - theirs[seed] for seed in common), found, time)


def _have_same_images(group: Group, baseline: Group) -> bool:
    """Return whether two groups were evaluated on the same images, as far as their predictions tell."""
    kept = ((one.predictions for one in of.runs if one.predictions is not None) for of in (group, baseline))
    ours, theirs = (next(found, None) for found in kept)
    return ours is None or theirs is None or same_images(ours, theirs)


def _scores(group: Group, baseline: Group) -> tuple[Scores, Scores]:
    """Return the accuracy in percent on every image by seed; the mean if predictions are missing or of other images."""
    finished = [[one for one in of.runs if one.scores is not None] for of in (group, baseline)]
    kept = [one.predictions for runs in finished for one in runs]
    if not all(one is not None and kept[0] is not None and same_images(one, kept[0]) for one in kept):
        ours, theirs = ({seed: np.array([top1]) for seed, top1 in of.leaders().items()} for of in (group, baseline))
    else:
        ours, theirs = ({one.seed: _correct(one) for one in runs} for runs in finished)
    return ours, theirs


def _correct(reported: ReportedRun) -> Float[np.ndarray, " images"]:
    leader = reported.outcomes["leader"]
    return 100.0 * (leader.predicted == leader.labels)


def seeds(count: int) -> str:
    """Return a number of seeds in words."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def about(groups: Sequence[Group]) -> str:
    """Return what was trained, in one sentence."""
    first = groups[0].runs[0]
    count = sum(len(group.runs) for group in groups)
    data = ", ".join(dict.fromkeys(data_in_words(group.runs[0]) for group in groups))
    if count == 1:
        return f"{_cohort(first)} learned from {data} by {first.config.method}, for {_length(first)}."
    if len(groups) == 1:
        return (
            f"{_cohort(first)} learned from {data} by {first.config.method}, for {_length(first)}, with {seeds(count)}."
        )
    return f"{count} runs in {len(groups)} variants learned from {data}: {'; '.join(group.label for group in groups)}."


def verdict(groups: Sequence[Group], found: Sequence[Difference], baseline: Group | None) -> str:
    """Return what the runs show, in one sentence."""
    first = groups[0].runs[0]
    if len(groups) == 1 and len(groups[0].runs) == 1:
        return _of_one(first)
    if len(groups) == 1:
        return _of_group(groups[0])
    if baseline is None:
        return "No baseline is named, so nothing is claimed: --baseline RUN names one."
    if not found:
        return f"No other run shares a seed and images with the baseline ({baseline.label}), so nothing is claimed."
    if len(found) == 1:
        return found[0].sentence
    if all(one.verdict.outcome == "too few seeds" for one in found):
        return f"There are too few seeds to compare the {len(found)} other variants with {baseline.label}: no claim."
    counted = [(outcome, [one.label for one in found if one.verdict.outcome == outcome]) for outcome in _OUTCOMES]
    parts = [f"{outcome}: {', '.join(labels)}" for outcome, labels in counted if labels]
    return f"Leaders against that of {baseline.label}, by 95 % intervals: {'; '.join(parts)}."


_OUTCOMES: tuple[Outcome, ...] = ("better", "worse", "not told apart", "no interval", "too few seeds")


def _of_one(reported: ReportedRun) -> str:
    scores = reported.scores
    if scores is None:
        return f"Training has not ended: {_progress(reported)}. One run: no claim."
    accuracy = f"The leader classifies {scores['leader']['top1']:.2f} % of {scores['samples']:,}"
    if reported.config.kind == "episodes":
        half = scores["leader"]["interval95"]
        return (
            f"{accuracy} queries of {reported.evaluated} episodes correctly (± {half:.2f}, the 95 % interval over "
            f"{scores['episodes']:,} episodes); one run: no claim about the method."
        )
    low, high = image_interval(scores["leader"]["top1"], scores["samples"])
    return (
        f"{accuracy} {reported.evaluated} images correctly (95 % interval over the choice of images {low:.1f} to "
        f"{high:.1f} %); one run: no claim about the method."
    )


def image_interval(top1: float, samples: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of an accuracy, in percent, over the choice of images."""
    from scipy.stats import binomtest

    found = binomtest(round(top1 / 100 * samples), samples).proportion_ci(0.95, method="wilson")
    return 100 * found.low, 100 * found.high


def _of_group(group: Group) -> str:
    values = list(group.leaders().values())
    if not values:
        return "No run has ended: no claim."
    mean = f"The leader reaches {fmean(values):.2f} % on average over {seeds(len(values))}"
    if len(values) < LEAST_SEEDS or len(set(values)) == 1:
        return f"{mean}: too few seeds ({len(values)}) for an interval."
    found = spread(values)
    return f"{mean}, 95 % interval {found.low:.2f} to {found.high:.2f} (Student's t); nothing to compare it with."


def _progress(reported: ReportedRun) -> str:
    done = reported.records[-1]["epoch"] if reported.records else 0
    return f"{done} of {reported.config.training.epochs} epochs are done"


def _cohort(reported: ReportedRun) -> str:
    cohort = reported.config.cohort
    if cohort.peers == 1:
        return f"One {cohort.backbone}"
    shared = {"network": "that share nothing", "branch": "that share their first stages", "tree": "in a tree"}
    how = shared.get(str(cohort.sharing), f"with {cohort.sharing} copies of the stages")
    return f"{cohort.peers} peers of {cohort.backbone} {how}"


def _length(reported: ReportedRun) -> str:
    episodes, epochs = reported.config.episodes, reported.config.training.epochs
    if episodes is not None:
        return f"{episodes.episodes:,} episodes"
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"


def data_in_words(reported: ReportedRun) -> str:
    """Return the name of the data of a run, and which part of it is used."""
    data = reported.config.data
    more = data.data.count(",")
    name = f"{data.sources.title(data.data)}{f' and {more} more files' if more else ''}"
    subset = getattr(data, "subset", None)
    if subset is None or not subset.is_on:
        return name
    classes = f"{subset.classes} classes" if subset.classes else "all classes"
    images = f", {subset.per_class} training images each" if subset.per_class else ""
    wrong = f", {subset.wrong_labels:.0%} of their labels wrong" if subset.wrong_labels else ""
    return f"a part of {name} ({classes}{images}{wrong})"
