"""Classification of labelled images."""

from typing import Any

import torch
from torch import nn

from peerdistill import methods
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.data import Augmentation, DataConfig, Dataset, eval_batches, load_dataset, train_batches
from peerdistill.data.arrays import GivenImages
from peerdistill.data.batches import TrainBatches
from peerdistill.data.dataset import Split
from peerdistill.data.normaliser import PixelStatistics
from peerdistill.deploy import LeaderCard
from peerdistill.evaluation import ClassEvaluator
from peerdistill.runs.build import card_of
from peerdistill.runs.class_weights import class_weights_of
from peerdistill.runs.ensemble import ensemble_of
from peerdistill.runs.fitting import with_fitting_batches
from peerdistill.runs.task import Task
from peerdistill.runs.teacher import load_teacher
from peerdistill.shares import WHOLE, Share
from peerdistill.terms import Method
from peerdistill.training.parallel import ProcessGroup

EVALUATION_BATCH = 256


class ClassTask(Task):
    """The labelled images of a run.

    Args:
        config: Configuration of the run.
        download: Download data that are missing.
        skip_unreadable: Leave out pictures that cannot be read.
        given: The content of the npz files that the configuration names.

    Raises:
        UserError: The data are missing or damaged.
    """

    def __init__(
        self, config: Config, *, download: bool = False, skip_unreadable: bool = False, given: GivenImages | None = None
    ):
        assert isinstance(config.data, DataConfig)
        self._images = config.data
        self._data = load_dataset(config.data, download=download, skip_unreadable=skip_unreadable, given=given)
        self._config = with_fitting_batches(config, len(self._data.train))

    @property
    def data(self) -> Dataset:
        """The images."""
        return self._data

    def card(self) -> LeaderCard:
        """Return the card of a classifier."""
        return card_of(self._config, self._data)

    def batches(self, device: torch.device, share: Share = WHOLE) -> TrainBatches:
        """Return shuffled, augmented batches of the training images."""
        images, training = self._images, self._config.training
        return train_batches(
            self._data.train,
            self._data,
            batch_size=training.batch_size,
            augmentation=Augmentation.of(images),
            seed=training.seed,
            device=device,
            workers=images.workers,
            sampler=images.sampler,
            share=share,
        )

    def method(self, cohort: Cohort) -> Method:
        """Return the method on the classes of the data."""
        teacher, loss = self._config.teacher, self._config.loss
        assert loss is not None
        method = methods.build(
            self._config.method,
            cohort,
            train_labels=self._data.train.labels,
            teacher=load_teacher(teacher.teacher, self._data, teacher.teacher_what) if teacher.teacher else None,
            teacher_weight=teacher.teacher_weight,
            teacher_temperature=teacher.teacher_temperature,
            label_smoothing=loss.label_smoothing,
            class_weights=class_weights_of(loss.class_weights, self._data),
            **self._config.options,
        )
        batch_size = self._config.training.batch_size
        method.check_mixing(self._images.mix.mixed_of(batch_size), batch_size)
        return method

    def evaluator(
        self, split: str, device: torch.device, processes: ProcessGroup | None = None
    ) -> ClassEvaluator | None:
        """Return the evaluator of a split."""
        images = getattr(self._data, split)
        if images is None:
            return None
        return class_evaluator(images, self._data, device, self._images.workers, processes)

    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return the method's ensemble as the checkpoint ``state`` has it."""
        return ensemble_of(self._config, cohort, state)


def class_evaluator(
    images: Split,
    statistics: PixelStatistics,
    device: torch.device,
    workers: int | None,
    processes: ProcessGroup | None = None,
) -> ClassEvaluator:
    """Return the evaluator of labelled images, which ``statistics`` normalise; ``processes`` share them, if given."""
    feed = {"batch_size": EVALUATION_BATCH, "device": device, "workers": workers}
    if processes is None or len(images) < processes.share.processes:
        return ClassEvaluator(eval_batches(images, statistics, **feed))
    return ClassEvaluator(eval_batches(images, statistics, **feed, share=processes.share), total=processes.total)
