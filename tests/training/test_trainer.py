import math
import time
import warnings
from dataclasses import dataclass, field
from itertools import count

import pytest
import torch
from torch import nn, optim

from peerdistill import Cohort, methods
from peerdistill.contrast import ContrastOptions
from peerdistill.data import Augmentation, train_batches
from peerdistill.data.batches import Batch
from peerdistill.errors import PeerdistillWarning
from peerdistill.evaluation import ClassEvaluator
from peerdistill.terms import CrossEntropy, MeanEnsemble, Method, Ramp, Weighted
from peerdistill.training import Diverged, Interrupted, ScheduleConfig


@dataclass
class RecordingLogger:
    """A logger that keeps what it receives."""

    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    advanced: list = field(default_factory=list)
    closed: int = 0

    def advance(self, step):
        self.advanced.append(step)

    def step(self, reading):
        self.steps.append(reading)

    def epoch(self, record):
        self.epochs.append(record)

    def result(self, result):
        raise AssertionError("the trainer does not know the result")

    def close(self):
        self.closed += 1


class Scripted:
    """Ten validation images with labels such that the leader is right on a given number of them in each epoch."""

    def __init__(self, images: torch.Tensor, right: list[int]):
        self.images = images[:10]
        self.right = iter(right)
        self.cohort: Cohort | None = None

    def __iter__(self):
        assert self.cohort is not None
        predicted = self.cohort(self.images).logits[-1].argmax(1)
        labels = torch.where(torch.arange(10) < next(self.right), predicted, (predicted + 1) % 10)
        yield Batch(self.images, labels, torch.arange(10))


@pytest.fixture
def scripted(make_trainer, digits):
    """Return a function that trains with given validation accuracies."""

    def fit(right: list[int], **options):
        validation = Scripted(digits.val.images / 255, right)
        trainer = make_trainer(epochs=len(right), evaluator=ClassEvaluator(validation), **options)
        validation.cohort = trainer.cohort
        trainer.fit()
        return trainer

    return fit


def test_training_agrees_with_a_plain_loop(make_trainer, digits):
    trainer = make_trainer(lr=0.1, memory_format="contiguous")
    trainer.fit()

    torch.manual_seed(0)
    cohort = Cohort(trainer.cohort.backbone, 10, peers=2)
    method = methods.mcl_okd(cohort, digits.train.labels, contrast=ContrastOptions(count=8, width=8))
    weights = {id(p): p for p in [*cohort.parameters(), *method.parameters()]}.values()
    optimizer = optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batches = train_batches(
        digits.train, digits, batch_size=16, augmentation=Augmentation(1, False, 0.5), seed=7, device="cpu", workers=0
    )
    for epoch in range(2):
        for number, batch in enumerate(batches.epoch(epoch)):
            done = (epoch * 4 + number) / 8
            optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * done))
            optimizer.zero_grad()
            method(cohort(batch.images), batch.labels, batch.indices).total.backward()
            optimizer.step()

    for name, value in {**cohort.state_dict(), **method.state_dict()}.items():
        found = {**trainer.cohort.state_dict(), **trainer.method.state_dict()}[name]
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6, msg=name)


class Record(CrossEntropy):
    """A term that records the weights after each step."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def after_step(self, cohort):
        self.weights.append([parameter.detach().clone() for parameter in cohort.parameters()])


def test_a_method_gets_the_weights_after_every_step(make_trainer):
    record = Record()
    trainer = make_trainer(method=Method([Weighted("record", 1.0, record)]))
    before = [parameter.detach().clone() for parameter in trainer.cohort.parameters()]
    trainer.fit()
    assert len(record.weights) == trainer.progress.step == 8
    assert not any(map(torch.equal, record.weights[0], before))
    assert all(map(torch.equal, record.weights[-1], trainer.cohort.parameters()))


def test_ramped_weights_grow_from_epoch_to_epoch(make_trainer):
    """The loss is 1 in every batch, so its mean over an epoch is the weight of that epoch."""

    class One(CrossEntropy):
        def forward(self, out, batch):
            return 1 + 0 * super().forward(out, batch)

    ramp, logger = Ramp(2.0, epochs=3), RecordingLogger()
    trainer = make_trainer(method=Method([Weighted("one", ramp, One())]), epochs=4, loggers=[logger])
    trainer.fit()
    weights = [record["loss"]["one"] for record in logger.epochs]
    assert weights == pytest.approx([2 * math.exp(-5 * (1 - epoch / 3) ** 2) for epoch in range(4)])


def test_a_ramp_longer_than_the_run_gives_a_warning(make_trainer):
    rising = Weighted("record", Ramp(1.0, epochs=80), CrossEntropy())
    with pytest.warns(
        PeerdistillWarning,
        match=r"'record' ramps up over 80 epochs, but the run has 3: it ends at 0\.0086 .*Set ramp to 1 ",
    ):
        make_trainer(method=Method([rising]), epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_trainer("other", method=Method([rising]), epochs=80)


@pytest.mark.parametrize(("epochs", "warns"), [(10, True), (11, False)])
def test_a_ramp_that_has_reached_a_weight_of_1_gives_no_warning(make_trainer, epochs, warns):
    """9 exp(-5 (1 - 9 / 27)^2) is 0.98, and 9 exp(-5 (1 - 10 / 27)^2) is 1.24."""
    rising = Weighted("record", Ramp(9.0, epochs=27), CrossEntropy())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_trainer(method=Method([rising]), epochs=epochs)
    assert any("ramps up over" in str(one.message) for one in caught) == warns


def test_the_memory_format_applies_to_weights_and_does_not_change_results(make_trainer):
    def trained(memory_format: str) -> dict[str, nn.Parameter]:
        trainer = make_trainer(memory_format, memory_format=memory_format)
        for dropout in (module for module in trainer.cohort.modules() if isinstance(module, nn.Dropout)):
            dropout.p = 0.0  # its mask depends on the memory format
        trainer.fit()
        return dict(trainer.cohort.named_parameters())

    plain, other = trained("contiguous"), trained("channels_last")
    # With one input channel both formats coincide; the convolution in the body has four.
    body = "networks.0.body.0.weight"
    assert not plain[body].is_contiguous(memory_format=torch.channels_last)
    assert other[body].is_contiguous(memory_format=torch.channels_last)
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_metrics_have_one_line_per_epoch(make_trainer):
    trainer = make_trainer(epochs=3)
    progress = trainer.fit()
    lines = trainer.metrics.read()
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 4), (2, 8), (3, 12)]
    assert lines[-1]["lr"] == 0.0
    for line in lines:
        assert set(line["loss"]) == {"total", "cross_entropy", "ensemble", "contrast"}
        parts = sum(value for name, value in line["loss"].items() if name != "total")
        assert line["loss"]["total"] == pytest.approx(parts, rel=1e-6)
        assert line["validation"]["samples"] == 30
    assert (progress.epoch, progress.step, progress.step_in_epoch) == (3, 12, 0)


def test_warmup_is_a_fraction_of_all_steps(make_trainer):
    logger = RecordingLogger()
    make_trainer(schedule=ScheduleConfig("constant", warmup=0.5), log_every=1, loggers=[logger]).fit()
    assert [reading.lr for reading in logger.steps] == pytest.approx([0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])


def test_the_best_epoch_has_the_highest_validation_accuracy_of_the_leader_and_is_the_first_of_equals(scripted):
    trainer = scripted([3, 6, 6, 5])
    assert (trainer.progress.best_epoch, trainer.progress.best_top1) == (2, 60.0)
    best, last = (trainer.checkpoints.load(path) for path in (trainer.checkpoints.best, trainer.checkpoints.last))
    assert best["progress"]["epoch"] == 2
    assert last["progress"]["epoch"] == 4
    assert last["progress"]["best_epoch"] == 2


def test_a_better_epoch_replaces_the_best_checkpoint(scripted):
    trainer = scripted([3, 2, 4])
    assert trainer.checkpoints.load(trainer.checkpoints.best)["progress"]["epoch"] == 3


def test_an_epoch_with_accuracy_zero_can_be_the_best(scripted):
    assert scripted([0, 0]).progress.best_epoch == 1


@pytest.mark.parametrize(
    ("right", "patience", "trained"),
    [
        ([3, 6, 6, 5, 9, 9], 2, 4),  # equal is not better
        ([3, 6, 5, 7, 6, 6], 2, 6),  # at the last epoch nothing is stopped early
        ([3, 2, 9, 9, 9, 9], 1, 2),
        ([3, 2, 1, 1, 1, 1], 0, 6),
    ],
)
def test_training_stops_after_a_number_of_epochs_without_a_better_one(scripted, right, patience, trained):
    trainer = scripted(right, patience=patience)
    assert trainer.progress.epoch == trained == len(trainer.metrics.read())
    assert trainer.stopped_early == (trained < 6)
    assert trainer.checkpoints.load(trainer.checkpoints.last)["progress"]["epoch"] == trained


def test_a_run_that_stopped_early_has_nothing_left_to_do(scripted, make_trainer):
    before = scripted([3, 6, 6, 5, 9, 9], patience=2)
    resumed = make_trainer(epochs=6, patience=2)
    resumed.load_state_dict(before.checkpoints.load(before.checkpoints.last))
    assert resumed.fit().epoch == 4
    assert resumed.stopped_early


def test_without_validation_only_the_last_checkpoint_is_kept(make_trainer):
    trainer = make_trainer(evaluator=None)
    progress = trainer.fit()
    assert progress.best_epoch == 0
    assert not trainer.checkpoints.best.exists()
    assert [line["validation"] for line in trainer.metrics.read()] == [None, None]
    assert trainer.checkpoints.load(trainer.checkpoints.last)["progress"]["epoch"] == 2


def test_steps_of_several_batches(make_trainer):
    """70 images are 4 batches of 16: steps of 3 batches and of 1 batch."""
    logger = RecordingLogger()
    schedule = ScheduleConfig("constant", warmup=0.5)
    trainer = make_trainer(accumulate=3, epochs=2, log_every=1, loggers=[logger], schedule=schedule)
    progress = trainer.fit()
    assert (progress.epoch, progress.step, trainer.steps) == (2, 4, 4)
    assert logger.advanced == [1, 2, 3, 4]
    assert [reading.lr for reading in logger.steps] == pytest.approx([0.1, 0.1, 0.1, 0.1])
    assert [line["step"] for line in trainer.metrics.read()] == [2, 4]


def test_the_speed_counts_the_images_of_all_batches_of_a_step(make_trainer, monkeypatch):
    times = count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    logger = RecordingLogger()
    make_trainer(accumulate=2, epochs=1, log_every=1, loggers=[logger], evaluator=None).fit()
    assert {32 / reading.images_per_second for reading in logger.steps} == {1.0}


def test_the_ema_is_evaluated_beside_the_leader(make_trainer):
    trainer = make_trainer(ema=0.9)
    trainer.fit()
    (line, last), ema = trainer.metrics.read(), trainer.learner.ema
    assert list(line["validation"]) == ["samples", "peers", "leader", "ensemble", "ema"]
    alone = trainer.evaluator(trainer.cohort.single(ema.network), MeanEnsemble())
    assert last["validation"]["ema"] == alone.leader.as_dict()
    saved = trainer.checkpoints.load(trainer.checkpoints.last)["ema"]
    assert all(torch.equal(value, saved[name]) for name, value in ema.network.state_dict().items())


def test_an_ema_changes_nothing_else(make_trainer):
    plain = make_trainer("plain")
    plain.fit()
    averaged = make_trainer("averaged", ema=0.9)
    averaged.fit()
    for name, value in plain.cohort.state_dict().items():
        assert torch.equal(value, averaged.cohort.state_dict()[name]), name


def test_checkpoints_carry_the_notes_and_need_no_pickle(make_trainer):
    trainer = make_trainer()
    trainer.fit()
    found = torch.load(trainer.checkpoints.last, weights_only=True)
    assert found["notes"] == {"of": "the test"}
    assert "terms.contrast.memory.bank.rows" in found["method"]


def test_loggers_receive_every_step_reading_and_epoch(make_trainer):
    logger = RecordingLogger()
    trainer = make_trainer(log_every=3, loggers=[logger])
    trainer.fit()
    assert [(reading.epoch, reading.step) for reading in logger.steps] == [(1, 3), (2, 6)]
    assert all(reading.images_per_second > 0 for reading in logger.steps)
    assert logger.advanced == list(range(1, 9))
    assert logger.epochs == trainer.metrics.read()
    assert logger.closed == 0  # they also receive the result, and are closed by the caller


@pytest.mark.parametrize("log_every", [1, 3, 100])
def test_log_every_does_not_change_results(make_trainer, log_every):
    often = make_trainer("often", log_every=log_every)
    often.fit()
    once = make_trainer("once", log_every=20)
    once.fit()
    assert often.metrics.path.read_bytes() == once.metrics.path.read_bytes()


class BreaksAt(nn.Module):
    """A term whose value, or only its gradient, is not finite from a step on."""

    def __init__(self, step: int, gradient_only: bool = False):
        super().__init__()
        self.step, self.gradient_only, self.calls = step, gradient_only, 0

    def forward(self, out, batch):
        self.calls += 1
        nothing = (out.logits - out.logits.detach()).sum()
        if self.calls < self.step:
            return nothing
        return nothing.abs().sqrt() if self.gradient_only else nothing * float("nan")


def breaking(*at, **how) -> Method:
    return Method([Weighted("cross_entropy", 1.0, CrossEntropy()), Weighted("fragile", 1.0, BreaksAt(*at, **how))])


@pytest.mark.parametrize(("log_every", "checkpoint_every"), [(1, 0), (100, 0), (100, 1), (100, 2)])
def test_a_loss_that_is_not_finite_stops_before_anything_is_written(make_trainer, log_every, checkpoint_every):
    logger = RecordingLogger()
    trainer = make_trainer(
        epochs=3, method=breaking(6), log_every=log_every, checkpoint_every=checkpoint_every, loggers=[logger]
    )
    with pytest.raises(Diverged) as caught:
        trainer.fit()
    last = trainer.checkpoints.last
    assert str(caught.value) == f"the loss is not finite at step 6: fragile; the last good checkpoint is {last}"
    good = trainer.checkpoints.load(last)
    assert good["progress"]["step"] == {0: 4, 1: 5, 2: 4}[checkpoint_every]
    assert all(value.isfinite().all() for value in good["cohort"].values())
    assert [line["epoch"] for line in trainer.metrics.read()] == [1]


def test_a_run_that_breaks_in_its_first_epoch_has_no_good_checkpoint(make_trainer):
    trainer = make_trainer(method=breaking(2))
    with pytest.raises(Diverged, match=r"step 2: fragile; no checkpoint was written yet$"):
        trainer.fit()
    assert not trainer.checkpoints.folder.exists()


def test_weights_that_are_not_finite_are_not_saved(make_trainer):
    trainer = make_trainer(epochs=3, method=breaking(6, gradient_only=True), checkpoint_every=1)
    with pytest.raises(Diverged, match=r"the weights are not finite after step 6; the last good checkpoint is"):
        trainer.fit()
    assert trainer.checkpoints.load(trainer.checkpoints.last)["progress"]["step"] == 5


class WritesIntoItsBuffer(CrossEntropy):
    """A term that writes a value into its buffer after each step."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value
        self.register_buffer("mean", torch.zeros(3))

    def after_step(self, cohort):
        self.mean[1] = self.value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_buffers_that_are_not_finite_are_not_saved(make_trainer, value):
    trainer = make_trainer(method=Method([Weighted("spoilt", 1.0, WritesIntoItsBuffer(value))]))
    with pytest.raises(Diverged, match=r"^terms\.spoilt\.mean is not finite after step 4; no checkpoint"):
        trainer.fit()


def test_buffers_may_contain_minus_infinity(make_trainer):
    make_trainer(method=Method([Weighted("masked", 1.0, WritesIntoItsBuffer(-math.inf))])).fit()


@pytest.mark.parametrize("step", [1, 4, 6])
def test_ctrl_c_finishes_the_step_and_writes_a_checkpoint(make_trainer, interrupted_at, step):
    logger = RecordingLogger()
    trainer = make_trainer(batches=interrupted_at(step), loggers=[logger])
    with pytest.raises(Interrupted):
        trainer.fit()
    assert trainer.checkpoints.load(trainer.checkpoints.last)["progress"]["step"] == step
