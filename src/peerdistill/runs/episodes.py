"""Few-shot runs on any episodes of their data, and two runs on the same ones.

Axes: V voters (all peers, then their ensemble), E episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill import fewshot
from peerdistill.errors import UserError
from peerdistill.evaluation import Accuracy
from peerdistill.fewshot import ClassSplit, EpisodeConfig, EpisodeEvaluation, EpisodeShape, Exam, ExamConfig
from peerdistill.runs.build import check_device, check_same_data
from peerdistill.runs.episode_task import EpisodeTask
from peerdistill.runs.evaluate import chosen_split, no_such_split, note_other_images
from peerdistill.runs.restore import Which, restore
from peerdistill.runs.run import Run
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True)
class Examined:
    """A run in one exam.

    Attributes:
        exam: The episodes.
        accuracy: Share of right answers of each voter in each episode, 0..1.
    """

    exam: Exam
    accuracy: Float[Tensor, "voters episodes"]

    @property
    def leader(self) -> Float[Tensor, " episodes"]:
        """The last peer's accuracy in each episode."""
        return self.accuracy[-2]

    def evaluation(self) -> EpisodeEvaluation:
        """Return the means and their intervals."""
        return fewshot.summary(self.accuracy, self.exam)


@dataclass(frozen=True)
class Comparison:
    """Two leaders in the same episodes, in percent.

    Attributes:
        shape: Of the episodes.
        episodes: Their number.
        seed: They were drawn from.
        first: The first run's leader.
        second: The second run's.
        difference: Mean over episodes of the second's accuracy minus the first's. Its interval is that of the paired
            differences: it tells of the draw of the episodes, not of that of the training's seed.
    """

    shape: EpisodeShape
    episodes: int
    seed: int
    first: Accuracy
    second: Accuracy
    difference: Accuracy

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        told = {"first": self.first, "second": self.second, "difference": self.difference}
        return {
            **self.shape._asdict(),
            "episodes": self.episodes,
            "seed": self.seed,
            **{name: value.as_dict() for name, value in told.items()},
        }


def exam_configs(run: Run, asked: ExamConfig | None = None, *, paper: bool = False) -> tuple[ExamConfig, ...]:
    """Return the episodes to examine a few-shot run with.

    Args:
        run: The run.
        asked: Other episodes than the run's own test episodes.
        paper: The columns of the paper's Table 5 instead.

    Raises:
        UserError: For a run that did not learn from episodes, or values out of range.
    """
    own = _episodes_of(run).test
    if paper:
        return fewshot.paper_columns(run.config.data.data)
    asked = own if asked is None else asked
    asked.check()
    return (asked,)


def _episodes_of(run: Run) -> EpisodeConfig:
    episodes = run.config.episodes
    if episodes is None:
        raise UserError(f"{run.path} was trained by peerdistill train: episodes go with runs of peerdistill fewshot")
    return episodes


def examine(
    run: Run,
    asked: Sequence[ExamConfig],
    which: Which = "last",
    split: str | None = None,
    device: str = "cpu",
    *,
    task: EpisodeTask | None = None,
) -> list[Examined]:
    """Return how a few-shot run answers; each image is encoded once for all exams.

    ``split`` is chosen as by :func:`evaluate_run`. ``task`` is that of the run, where several checkpoints are examined
    on its data.

    Raises:
        UserError: Where run, checkpoint, split or device do not exist, the data has changed or is too small.
    """
    check_device(device)
    restored = restore(run, which)
    task = few_shot_task(run) if task is None else task
    split = chosen_split(run, task.data, split)
    check_same_data(restored.state["notes"]["data"], task.data)
    note_other_images(restored.state["notes"]["data"], task.data, split)
    exams = [task.exam_of(split, config, torch.device(device)) for config in asked]
    drawn = [exam for exam in exams if exam is not None]
    if not drawn:
        raise no_such_split(run, split)
    found = fewshot.accuracies(restored.cohort.to(device), drawn)
    return [Examined(exam, accuracy) for exam, accuracy in zip(drawn, found, strict=True)]


def few_shot_task(run: Run) -> EpisodeTask:
    """Return the task of a few-shot run, its data loaded.

    Raises:
        UserError: For a run that did not learn from episodes, or data that are gone.
    """
    _episodes_of(run)
    task = load_task_of(run)
    assert isinstance(task, EpisodeTask)
    return task


def compare(
    first: Run,
    second: Run,
    asked: Sequence[ExamConfig],
    which: Which = "last",
    split: str = "test",
    device: str = "cpu",
) -> list[Comparison]:
    """Return the leaders of two few-shot runs side by side, in the same episodes.

    Raises:
        UserError: As :func:`examine`, and where the two are not tested on the same images.
    """
    # "As in training" must not mean two things: what is left open is as in the first run.
    episodes = _episodes_of(first)
    settled = [replace(config, shots=config.shape(episodes).shots) for config in asked]
    own = few_shot_task(first)
    other = own if second.config.data == first.config.data else few_shot_task(second)
    _check_same_images(first, second, getattr(own.data, split), getattr(other.data, split))
    found = [examine(run, settled, which, split, device, task=task) for run, task in ((first, own), (second, other))]
    return [paired(*both) for both in zip(*found, strict=True)]


def paired(first: Examined, second: Examined) -> Comparison:
    """Return the leaders of two runs in the same episodes."""

    def percent(values: Float[Tensor, " episodes"]) -> Accuracy:
        mean, interval = fewshot.mean_and_interval(values)
        return Accuracy(100 * mean, None, 100 * interval)

    exam = first.exam
    return Comparison(
        exam.shape,
        len(first.leader),
        exam.seed,
        percent(first.leader),
        percent(second.leader),
        percent(second.leader - first.leader),
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
        raise UserError(f"{first.path} and {second.path} have different images to be tested on: they can't be compared")
