"""Learning classes from labelled images."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peerdistill import methods
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.data import Augmentation, DataConfig, Dataset, eval_batches, load_dataset, train_batches
from peerdistill.data.batches import EvalBatches, TrainBatches
from peerdistill.deploy import LeaderCard
from peerdistill.errors import PeerdistillWarning
from peerdistill.evaluation import evaluate
from peerdistill.runs.build import card_of
from peerdistill.runs.identity import load_into
from peerdistill.runs.task import Task
from peerdistill.runs.teacher import load_teacher
from peerdistill.terms import MeanEnsemble, Method

EVALUATION_BATCH = 256

_ENSEMBLE = "ensemble."
_FEW = 2


class ClassTask(Task):
    """The images of a configuration, loaded.

    Args:
        config: Of the run.
        download: Fetch data that can be fetched.
        skip_unreadable: Leave out pictures that can't be read.

    Raises:
        UserError: For data that are not there or damaged.
    """

    judge = staticmethod(evaluate)

    def __init__(self, config: Config, *, download: bool = False, skip_unreadable: bool = False):
        assert isinstance(config.data, DataConfig)
        self._config = config
        self._images = config.data
        self._data = load_dataset(config.data, download=download, skip_unreadable=skip_unreadable)

    @property
    def data(self) -> Dataset:
        """The images."""
        return self._data

    def card(self) -> LeaderCard:
        """Return the card of a classifier."""
        return card_of(self._config, self._data)

    def batches(self, device: torch.device) -> TrainBatches:
        """Return shuffled, augmented batches of the training images."""
        images, training = self._images, self._config.training
        return train_batches(
            self._data.train,
            self._data,
            batch_size=training.batch_size,
            augmentation=Augmentation(images.crop_padding, images.flip, images.min_scale),
            seed=training.seed,
            device=device,
            workers=images.workers,
        )

    def method(self, cohort: Cohort) -> Method:
        """Return the method on the classes of the data."""
        taught = self._config.teacher
        return methods.build(
            self._config.method,
            cohort,
            train_labels=self._data.train.labels,
            teacher=load_teacher(taught.teacher, self._data) if taught.teacher else None,
            teacher_weight=taught.teacher_weight,
            teacher_temperature=taught.teacher_temperature,
            **self._config.options,
        )

    def exam(self, split: str, device: torch.device) -> EvalBatches | None:
        """Return the images of a split."""
        images = getattr(self._data, split)
        if images is None:
            return None
        return eval_batches(
            images, self._data, batch_size=EVALUATION_BATCH, device=device, workers=self._images.workers
        )

    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return the method's ensemble as the checkpoint ``state`` has it."""
        return ensemble_of(self._config, cohort, state)


def ensemble_of(config: Config, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
    """Return the ensemble of a run's method as the checkpoint ``state`` has it; no data is needed."""
    if methods.find(config.method).needs_teacher:
        # One student is its own ensemble; its method can't be built again where the teacher is gone.
        return MeanEnsemble()
    # A memory bank of a few rows: no ensemble depends on it.
    labels = torch.arange(_FEW * cohort.classes) % cohort.classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeerdistillWarning)  # training has told it
        ensemble = methods.build(config.method, cohort, train_labels=labels, **config.options).ensemble
    own = {name.removeprefix(_ENSEMBLE): part for name, part in state["method"].items() if name.startswith(_ENSEMBLE)}
    load_into(ensemble, own, Path("the checkpoint"))
    return ensemble
