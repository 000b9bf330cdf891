"""The pace is measured with a clock that only the parts of a training advance."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from peerdistill.runs import Run, class_task, pace
from peerdistill.runs.pace import EPOCHS, pace_of
from peerdistill.training import Checkpoints, Trainer, TrainingConfig
from peerdistill.training.learner import Learner

STEP, NEW_IMAGE, SAVE = 1.0, 0.1, 2.0
EVALUATED, FIRST_EVALUATED = 0.01, 0.03


class World:
    """A clock, and what has happened."""

    def __init__(self):
        self.now = 0.0
        self.seen: set[int] = set()
        self.done: Counter = Counter()

    def step(self, group) -> None:
        indices = {index for batch in group for index in batch.indices.tolist()}
        self.now += STEP + NEW_IMAGE * len(indices - self.seen)
        self.seen |= indices
        self.done["steps"] += 1

    def evaluate(self, images) -> None:
        self.now += len(images) * (EVALUATED if self.done["evaluated"] >= self.done["once"] else FIRST_EVALUATED)
        self.done["evaluated"] += len(images)

    def save(self) -> None:
        self.now += SAVE
        self.done["saves"] += 1


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def measured(quick_config, tmp_path, monkeypatch, world):
    """Return a function that measures a configuration, once, and returns its pace and data, and what has happened."""

    def measure(seconds: float, once: int, **changes):
        from peerdistill.runs.prepare import close_workers, prepare

        world.done["once"] = once  # so many images are evaluated for the first time
        config = quick_config(**changes)
        config = replace(config, training=replace(config.training, epochs=EPOCHS))
        task, trainer, evaluators, _ = prepare(config, Run(tmp_path))
        step, save = Trainer._step, Checkpoints.save
        monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: world.now))
        monkeypatch.setattr(Trainer, "_step", lambda self, group: (world.step(group), step(self, group)))
        monkeypatch.setattr(Checkpoints, "save", lambda self, state: (world.save(), save(self, state)))
        trainer.cohort.register_forward_hook(
            lambda module, inputs, output: None if module.training else world.evaluate(inputs[0])
        )
        found = pace_of(trainer, evaluators, task.data, start=5.0, seconds=seconds, folder=tmp_path)
        close_workers(trainer, evaluators)
        return found, task.data, world

    return measure


def test_the_parts_of_a_training(measured):
    found, data, world = measured(seconds=20.0, once=0, batch_size=4)
    validation, test = len(data.val), len(data.test)
    assert found.steps_per_epoch == len(data.train) // 4
    assert found.step == pytest.approx(STEP)
    assert found.epoch_end == pytest.approx(EVALUATED * validation + 2 * SAVE)
    assert found.end == pytest.approx(2 * EVALUATED * (validation + test) + SAVE)
    assert found.start == 5.0
    assert 0 <= found.first <= NEW_IMAGE * len(data.train)
    assert found.beside_epochs == pytest.approx(5.0 + found.first + found.end)
    assert found.epochs(TrainingConfig(epochs=3)) == pytest.approx(3 * (found.steps_per_epoch * STEP + found.epoch_end))
    assert found.leader_step == 0.0
    assert world.done["saves"] == 2
    assert world.now < 60.0


def test_what_the_first_reading_of_images_takes_is_apart(measured):
    found, data, _ = measured(seconds=12.0, once=1, batch_size=4)
    reading = NEW_IMAGE * len(data.train)  # if no image of the timed steps had been read before
    evaluating = (FIRST_EVALUATED - EVALUATED) * (len(data.val) + len(data.test))
    assert found.step == pytest.approx(STEP)
    assert 0.3 * reading < found.first - evaluating <= reading * (1 + 1e-9)


def test_steps_of_the_leader_alone_are_measured_apart(measured, world, monkeypatch):
    step = Learner.leader_step

    def leader_step(self, *group):
        world.now -= 0.75 * STEP
        return step(self, *group)

    monkeypatch.setattr(Learner, "leader_step", leader_step)
    found, _, _ = measured(seconds=10.0, once=0, batch_size=8, **{"growth.start": 0.5})
    assert (found.step, found.leader_step) == (pytest.approx(STEP), pytest.approx(0.25 * STEP))


def test_a_long_evaluation_is_measured_in_part(measured, monkeypatch):
    monkeypatch.setattr(class_task, "EVALUATION_BATCH", 4)
    found, data, world = measured(seconds=1.0, once=4, batch_size=4)
    assert len(data.val) > 4
    assert world.done["evaluated"] == 8  # the first batch, twice
    assert found.epoch_end == pytest.approx(EVALUATED * len(data.val) + 2 * SAVE)


@pytest.mark.parametrize("steps", [1, 2])
def test_epochs_of_few_steps(measured, steps):
    images = 72
    found, data, _ = measured(seconds=10.0, once=0, batch_size=images // steps)
    assert len(data.train) < images + images // steps
    assert found.step == pytest.approx(STEP)
    assert found.steps_per_epoch == steps


def test_nothing_but_checkpoints_is_written(measured, tmp_path):
    measured(seconds=1.0, once=0)
    assert {file.name for file in tmp_path.iterdir()} <= {"checkpoints", "metrics.jsonl"}
    assert Path(tmp_path / "checkpoints" / "last.pt").is_file()
