"""A run that was stopped and resumed is bitwise equal to an uninterrupted run."""

import sys
import time
from dataclasses import replace

import pytest
import torch

from peerdistill.contrast import ContrastOptions
from peerdistill.data import Dataset, load_dataset
from peerdistill.data.config import DataConfig
from peerdistill.errors import Failure
from peerdistill.training import GrowthConfig, Interrupted, Trainer
from support.photos import write_photos


def bits(value) -> object:
    """Return nested values with tensors as bytes, so that -0.0 differs from 0.0 and NaN equals itself."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, list | tuple) else value


def outcome(trainer: Trainer) -> dict:
    """Return all results of a run: weights, bank, optimizer, random state, metrics and the best checkpoint."""
    checkpoints = trainer.checkpoints
    kept = {"last": checkpoints.load(checkpoints.last), "best": checkpoints.load(checkpoints.best)}
    for state in kept.values():
        del state["random"]["python"]  # the shape checks of the tests draw from it
        del state["seconds"], state["cpu_seconds"]
    now = {"cohort": trainer.cohort.state_dict(), "method": trainer.method.state_dict()}
    return {**bits(now), **bits(kept), "metrics": trainer.metrics.path.read_bytes()}


def is_stopped(trainer: Trainer) -> bool:
    """Train until the end or until something stops the run; return whether it was stopped."""
    try:
        trainer.fit()
    except (Interrupted, SystemExit):
        return True
    return False


def load_last(trainer: Trainer) -> Trainer:
    """Load the last checkpoint as a new process does."""
    state, _ = trainer.checkpoints.load_last()
    if state is None:
        trainer.metrics.truncate(0)
    else:
        trainer.load_state_dict(state)
    return trainer


def resume(trainer: Trainer) -> Trainer:
    """Resume and train to the end."""
    load_last(trainer).fit()
    return trainer


@pytest.fixture
def whole(make_trainer):
    """Results of an uninterrupted run of 8 steps, 4 per epoch."""
    trainer = make_trainer("whole")
    trainer.fit()
    return outcome(trainer)


@pytest.mark.parametrize("step", [1, 3, 4, 5, 8])
def test_after_ctrl_c(make_trainer, interrupted_at, whole, step):
    """Steps 4 and 8 are the last of their epochs, which are then neither evaluated nor recorded yet."""
    assert is_stopped(make_trainer(batches=interrupted_at(step)))
    assert outcome(resume(make_trainer(seed=99))) == whole


@pytest.mark.parametrize("step", [2, 4, 5, 6, 8])
@pytest.mark.parametrize("checkpoint_every", [0, 1, 3])
def test_after_a_kill(make_trainer, killed_at, whole, step, checkpoint_every):
    assert is_stopped(make_trainer(batches=killed_at(step), checkpoint_every=checkpoint_every))
    trainer = make_trainer(seed=99)
    if trainer.checkpoints.load_last()[0] is None:
        assert step <= (checkpoint_every or 4), "a checkpoint was expected"
        trainer = make_trainer()  # starts from the beginning, with the run's seed
    assert outcome(resume(trainer)) == whole


@pytest.mark.parametrize("kind", ["shared", "all", "queue"])
def test_with_every_source_of_negatives(make_trainer, interrupted_at, kind):
    """The queue of 40 wraps around, and the run stops in the middle of it."""
    options = {"contrast": ContrastOptions(negatives=kind, count=40, width=8)}
    whole = make_trainer("whole", **options)
    whole.fit()
    assert is_stopped(make_trainer(batches=interrupted_at(3), **options))
    assert outcome(resume(make_trainer(seed=99, **options))) == outcome(whole)


LATE = {"growth": GrowthConfig(start=0.5), "distill_every": 3, "ema": 0.9}


@pytest.mark.parametrize("step", [3, 4, 5, 6, 8])
def test_around_the_start_of_the_other_peers(make_trainer, interrupted_at, step):
    """Only the leader learns in steps 1 to 4, 6 and 7; the others start before step 5."""
    whole = make_trainer("whole", **LATE)
    whole.fit()
    assert is_stopped(make_trainer(batches=interrupted_at(step), **LATE))
    assert outcome(resume(make_trainer(seed=99, **LATE))) == outcome(whole)


@pytest.mark.parametrize("step", [5, 6])
def test_after_a_kill_at_the_start_of_the_other_peers(make_trainer, killed_at, step):
    """The checkpoint of epoch 1 has no grown peers yet."""
    whole = make_trainer("whole", **LATE)
    whole.fit()
    assert is_stopped(make_trainer(batches=killed_at(step), **LATE))
    assert outcome(resume(make_trainer(seed=99, **LATE))) == outcome(whole)


ALL_ON = {"accumulate": 3, "clip_norm": 0.5, "ema": 0.9, "patience": 2}  # steps of 3 batches and 1 batch


@pytest.mark.parametrize("at", [1, 3, 4, 5, 8])
def test_with_all_options_of_a_step(make_trainer, killed_at, at):
    """A kill in the middle of the batches of a step, and between two steps of an epoch."""
    whole = make_trainer("whole", **ALL_ON)
    whole.fit()
    assert whole.progress.step == 4
    assert "ema" in whole.checkpoints.load(whole.checkpoints.last)
    assert is_stopped(make_trainer(batches=killed_at(at), checkpoint_every=1, **ALL_ON))
    trainer = make_trainer(seed=99 if at > 3 else 0, **ALL_ON)
    assert outcome(resume(trainer)) == outcome(whole)


def test_batches_that_fail_in_the_middle_of_a_step_do_not_spoil_the_checkpoint(make_trainer, failing_at):
    whole = make_trainer("whole", **ALL_ON)
    whole.fit()
    trainer = make_trainer(batches=failing_at(7), **ALL_ON)
    with pytest.raises(Failure, match="unplugged"):
        trainer.fit()
    assert outcome(resume(make_trainer(seed=99, **ALL_ON))) == outcome(whole)


def test_after_a_kill_between_metrics_line_and_checkpoint(make_trainer, whole):
    trainer = make_trainer(checkpoint_every=3)
    save = trainer.checkpoints.save

    def save_or_end(state, *, best=False):
        return sys.exit() if state["progress"]["epoch"] == 2 else save(state, best=best)

    trainer.checkpoints.save = save_or_end
    assert is_stopped(trainer)
    assert trainer.metrics.path.read_bytes() == whole["metrics"]
    assert outcome(resume(make_trainer(seed=99))) == whole


def test_after_many_stops(make_trainer, interrupted_at, killed_at, whole):
    for step, happening in ((1, interrupted_at), (3, killed_at), (5, interrupted_at), (7, killed_at)):
        assert is_stopped(load_last(make_trainer(batches=happening(step), checkpoint_every=1)))
    assert outcome(resume(make_trainer())) == whole


def test_from_the_previous_checkpoint_if_the_last_is_damaged(make_trainer, killed_at, whole):
    assert is_stopped(make_trainer(batches=killed_at(8), checkpoint_every=1))
    trainer = make_trainer(seed=99)
    raw = trainer.checkpoints.last.read_bytes()
    trainer.checkpoints.last.write_bytes(raw[: len(raw) // 2])
    state, warning = trainer.checkpoints.load_last()
    assert state["progress"]["step"] == 6
    assert "is damaged" in warning
    assert outcome(resume(trainer)) == whole


def test_a_finished_run_has_nothing_left_to_do(make_trainer, whole):
    make_trainer().fit()
    assert outcome(resume(make_trainer(seed=99))) == whole


class OneSecondEach:
    """Training batches that take one second of ``clock`` each."""

    def __init__(self, batches, clock):
        self._batches = batches
        self._clock = clock
        self.steps_per_epoch = batches.steps_per_epoch

    def epoch(self, epoch, start=0):
        for batch in self._batches.epoch(epoch, start):
            self._clock.now += 1
            yield batch


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_seconds_add_up_over_the_parts_of_a_run_without_the_time_between(
    make_trainer, interrupted_at, killed_at, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    for happening, counted in ((interrupted_at(3), 3), (killed_at(6), 4), (lambda batches: batches, 8)):
        trainer = make_trainer(batches=lambda batches, stop=happening: OneSecondEach(stop(batches), clock))
        clock.now += 1000
        is_stopped(load_last(trainer))
        clock.now += 1000
        assert trainer.checkpoints.load(trainer.checkpoints.last)["seconds"] == counted
    assert trainer.seconds == 8


def test_cpu_seconds_are_those_of_all_processes_over_all_parts(make_trainer, interrupted_at, monkeypatch):
    """The other process takes twice as long as this one."""
    clock = Clock()
    monkeypatch.setattr(time, "process_time", clock)
    for happening in (interrupted_at(3), lambda batches: batches):
        trainer = make_trainer(batches=lambda batches, stop=happening: OneSecondEach(stop(batches), clock))
        monkeypatch.setattr(trainer.processes, "total", lambda seconds: 3 * seconds)
        clock.now += 1000
        is_stopped(load_last(trainer))
        last = trainer.checkpoints.load(trainer.checkpoints.last)
        assert last["cpu_seconds"] == 3 * last["progress"]["step"]
    assert trainer.cpu_seconds == 3 * 8


def test_the_compared_results_differ_between_runs(make_trainer, whole):
    """So the comparisons above can fail."""
    trainer = make_trainer("other", lr=0.1001)
    trainer.fit()
    other = outcome(trainer)
    assert other["method"]["terms.contrast.memory.bank.rows"] != whole["method"]["terms.contrast.memory.bank.rows"]
    assert other["metrics"] != whole["metrics"]


@pytest.fixture
def photos(tmp_path) -> Dataset:
    """Images of two classes in files, decoded by two worker processes."""
    data = load_dataset(DataConfig(str(write_photos(tmp_path / "photos", 56)), image_size=12, validation=0.1))
    return replace(data, test=None)


@pytest.mark.parametrize("step", [1, 3])
def test_with_images_from_worker_processes(make_trainer, interrupted_at, photos, step):
    trainer = make_trainer("whole", data=photos)
    trainer.fit()
    assert trainer.progress.step == 4
    assert is_stopped(make_trainer(data=photos, batches=interrupted_at(step)))
    assert outcome(resume(make_trainer(data=photos, seed=99))) == outcome(trainer)
