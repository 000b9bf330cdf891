"""No step of any method copies a value from the device to the host: on a GPU it would wait for all queued work."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from peerdistill import Cohort, methods, terms
from peerdistill.training.trainer import TrainingBatches

# Operators that read a value, or whose output shape depends on values.
WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "_unique2", "equal"}


class Watch(TorchDispatchMode):
    """Records the names of operators that would wait for the device."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.waited = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(index is not None and index.dtype is torch.bool for index in args[1])
        if name in WAITING or by_mask:
            self.waited.append(name)
        return func(*args, **(kwargs or {}))


class WatchedBatches:
    """Batches whose steps are watched, except the first: it initialises optimizer state and shape checks.

    The first ``mixed`` images of every batch have the same probability of every class.
    """

    def __init__(self, batches: TrainingBatches, watch: Watch, mixed: int):
        self.batches, self.watch = batches, watch
        self.targets = torch.full((mixed, 10), 0.1) if mixed else None

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator:
        first, *others = (replace(batch, targets=self.targets) for batch in self.batches.epoch(epoch, start))
        yield first
        for batch in others:
            self.watch.steps += 1
            with self.watch:  # until the next batch is requested
                yield batch


def fitted(make_trainer, name: str, labels: torch.Tensor, mixed: int = 0, training=None, **options) -> Watch:
    card = methods.find(name)
    size = {"peers": 4, "sharing": card.sharings[0], **card.cohort}
    cohort = Cohort("resnet8", 10, in_channels=1, **size)
    teacher = terms.Teacher(Cohort("resnet8", 10, peers=1, in_channels=1)) if card.needs_teacher else None
    method = methods.build(name, cohort, train_labels=labels, teacher=teacher, **options)
    watch = Watch()
    trainer = make_trainer(
        cohort=cohort,
        method=method,
        batches=lambda batches: WatchedBatches(batches, watch, mixed),
        evaluator=None,
        epochs=1,
        log_every=1000,
        **(training or {}),
    )
    trainer.fit()
    return watch


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
@pytest.mark.parametrize("name", methods.names())
def test_a_step_waits_for_nothing(make_trainer, digits, name):
    watch = fitted(make_trainer, name, digits.train.labels)
    assert watch.steps == 3
    assert not watch.waited


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
@pytest.mark.parametrize("name", ["mcl-okd", "one", "kdcl"])
def test_a_step_with_mixed_images_and_class_weights_waits_for_nothing(make_trainer, digits, name):
    options = {"label_smoothing": 0.1, "class_weights": [1.0] * 9 + [2.0]}
    watch = fitted(make_trainer, name, digits.train.labels, mixed=8, **options)
    assert watch.steps == 3
    assert not watch.waited


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
def test_clipping_accumulation_and_ema_wait_for_nothing(make_trainer, digits):
    options = {"clip_norm": 0.1, "accumulate": 2, "ema": 0.9}
    watch = fitted(make_trainer, "pcl", digits.train.labels, training=options)
    assert watch.steps == 3
    assert not watch.waited


def test_waiting_is_noticed():
    with Watch() as watch:
        torch.ones(1).item()
        torch.ones(2)[torch.tensor([True, False])]
    assert watch.waited == ["_local_scalar_dense", "index"]
