"""Few-shot runs on any episodes of their data, and two runs on the same episodes.

Axes: P predictors (all peers, then their ensemble), E episodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill import fewshot
from peerdistill.errors import UserError
from peerdistill.evaluation import Scores
from peerdistill.fewshot import (
    ClassSplit,
    EpisodeConfig,
    EpisodeEvaluation,
    EpisodeSet,
    EpisodeSetConfig,
    EpisodeShape,
)
from peerdistill.runs.build import check_device, check_same_data
from peerdistill.runs.episode_task import EpisodeTask
from peerdistill.runs.evaluate import chosen_split, no_such_split, warn_other_images
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run, Which
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True)
class EpisodeResult:
    """Accuracies of a run in every episode of an evaluation set.

    Attributes:
        episodes: The evaluation set.
        accuracy: Accuracy of every predictor in every episode, 0..1.
        others: The same of other networks by name, such as "ema".
    """

    episodes: EpisodeSet
    accuracy: Float[Tensor, "predictors episodes"]
    others: Mapping[str, Float[Tensor, " episodes"]] = field(default_factory=dict)

    @property
    def leader(self) -> Float[Tensor, " episodes"]:
        """Accuracy of the leader, the last peer, in every episode."""
        return self.accuracy[-2]

    def evaluation(self) -> EpisodeEvaluation:
        """Return the means with their confidence intervals."""
        return fewshot.summary(self.accuracy, self.episodes, self.others)


@dataclass(frozen=True)
class Comparison:
    """The leaders of two runs on the same episodes, in percent.

    Attributes:
        shape: Shape of the episodes.
        episodes: Number of episodes.
        seed: Seed of the episodes.
        first: Accuracy of the leader of the first run.
        second: Accuracy of the leader of the second run.
        difference: Mean of the accuracy of the second minus that of the first. Its confidence interval is that of the
            paired differences: it covers the choice of episodes, not the seed of the training.
    """

    shape: EpisodeShape
    episodes: int
    seed: int
    first: Scores
    second: Scores
    difference: Scores

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        scores = {"first": self.first, "second": self.second, "difference": self.difference}
        return {
            **self.shape._asdict(),
            "episodes": self.episodes,
            "seed": self.seed,
            **{name: value.as_dict() for name, value in scores.items()},
        }


def episode_sets(
    run: Run, config: EpisodeSetConfig | None = None, *, paper: bool = False
) -> tuple[EpisodeSetConfig, ...]:
    """Return the configurations of the episodes to evaluate a few-shot run on.

    Args:
        run: The run.
        config: Episodes to use instead of the test episodes of the run.
        paper: Use the columns of Table 5 of the paper instead.

    Raises:
        UserError: The run did not learn from episodes, or a value is out of range.
    """
    own = _episodes_of(run).test
    if paper:
        return fewshot.paper_columns(run.config.data.data)
    config = own if config is None else config
    config.check()
    return (config,)


def _episodes_of(run: Run) -> EpisodeConfig:
    episodes = run.config.episodes
    if episodes is None:
        raise UserError(f"{run.path} was trained by peerdistill train: use a run of peerdistill fewshot")
    return episodes


def evaluate_episodes(
    run: Run,
    configs: Sequence[EpisodeSetConfig],
    which: Which = "last",
    split: str | None = None,
    device: str = "cpu",
    *,
    task: EpisodeTask | None = None,
) -> list[EpisodeResult]:
    """Return the accuracies of a few-shot run on several evaluation sets; each image is encoded once for all of them.

    Args:
        run: The run.
        configs: The evaluation sets.
        which: The checkpoint.
        split: "test" or "val"; the default as in :func:`evaluator_of`.
        device: Where to evaluate.
        task: Task of the run, if it is loaded.

    Raises:
        UserError: The run, checkpoint, split or device does not exist, or the data have changed or are too small.
    """
    check_device(device)
    restored = restore(run, which)
    task = few_shot_task(run) if task is None else task
    split = chosen_split(run, task.data, split)
    check_same_data(restored.state["notes"]["data"], task.data)
    warn_other_images(restored.state["notes"]["data"], task.data, split)
    drawn = [task.episode_set(split, config, torch.device(device)) for config in configs]
    sets = [one for one in drawn if one is not None]
    if not sets:
        raise no_such_split(run, split)
    others = {name: fewshot.accuracies(other.to(device), sets) for name, other in restored.others().items()}
    found = fewshot.accuracies(restored.cohort.to(device), sets)
    return [
        EpisodeResult(one, accuracy, {name: of_sets[number][0] for name, of_sets in others.items()})
        for number, (one, accuracy) in enumerate(zip(sets, found, strict=True))
    ]


def few_shot_task(run: Run) -> EpisodeTask:
    """Return the task of a few-shot run, with its data loaded.

    Raises:
        UserError: The run did not learn from episodes, or the data are missing.
    """
    _episodes_of(run)
    task = load_task_of(run)
    assert isinstance(task, EpisodeTask)
    return task


def compare(
    first: Run,
    second: Run,
    configs: Sequence[EpisodeSetConfig],
    which: Which = "last",
    split: str = "test",
    device: str = "cpu",
) -> list[Comparison]:
    """Return the comparison of the leaders of two few-shot runs on the same episodes.

    Raises:
        UserError: As :func:`same_episodes`.
    """
    found = same_episodes((first, second), configs, which, split, device)
    return [paired(*both) for both in zip(*found, strict=True)]


def same_episodes(
    runs: Sequence[Run],
    configs: Sequence[EpisodeSetConfig],
    which: Which = "last",
    split: str = "test",
    device: str = "cpu",
) -> list[list[EpisodeResult]]:
    """Return the accuracies of few-shot runs on the same evaluation sets.

    Args:
        runs: The runs.
        configs: The evaluation sets. Their default number of shots is that of the training of the first run.
        which: The checkpoint.
        split: "test" or "val".
        device: Where to evaluate.

    Raises:
        UserError: As :func:`evaluate_episodes`, and if the runs have different images in this split.
    """
    first = runs[0]
    episodes = _episodes_of(first)
    settled = [replace(config, shots=config.shape(episodes).shots) for config in configs]
    own = few_shot_task(first)
    tasks = [own if run.config.data == first.config.data else few_shot_task(run) for run in runs]
    for run, task in zip(runs, tasks, strict=True):
        _check_same_images(first, run, getattr(own.data, split), getattr(task.data, split))
    return [
        evaluate_episodes(run, settled, which, split, device, task=task) for run, task in zip(runs, tasks, strict=True)
    ]


def paired(first: EpisodeResult, second: EpisodeResult) -> Comparison:
    """Return the comparison of the leaders of two runs on the same episodes."""
    episodes = first.episodes
    return Comparison(
        episodes.shape,
        len(first.leader),
        episodes.seed,
        fewshot.mean_scores(first.leader),
        fewshot.mean_scores(second.leader),
        fewshot.mean_scores(second.leader - first.leader),
    )


def _check_same_images(first: Run, second: Run, images: ClassSplit | None, others: ClassSplit | None) -> None:
    same = images is others or (
        images is not None
        and others is not None
        and images.class_names == others.class_names
        and torch.equal(images.labels, others.labels)
        and torch.equal(images.images, others.images)
    )
    if not same:
        raise UserError(f"{first.path} and {second.path} cannot be compared: they have different test images")
