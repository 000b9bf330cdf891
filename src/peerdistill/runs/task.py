"""What differs between runs that learn from labelled images and runs that learn from episodes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.data import Dataset
from peerdistill.deploy import LeaderCard
from peerdistill.evaluation import Evaluator
from peerdistill.shares import WHOLE, Share
from peerdistill.terms import Method
from peerdistill.training.parallel import ProcessGroup
from peerdistill.training.trainer import TrainingBatches

SPLITS = ("test", "val")
"""The splits on which peers are evaluated."""


class Task(ABC):
    """The data of a run, what its peers learn from them, and how they are evaluated."""

    _config: Config

    @property
    def config(self) -> Config:
        """The configuration, with the options that follow from the data."""
        return self._config

    @property
    @abstractmethod
    def data(self) -> Dataset:
        """The images."""

    def configured(self, config: Config) -> "Task":
        """Return the task with the same data and another configuration of peers and training.

        Args:
            config: A configuration that differs from that of the task in nothing that the data depend on.
        """
        found = copy(self)
        found._config = config
        return found

    @property
    def lines(self) -> Sequence[str]:
        """Lines about the task that are shown before training."""
        return ()

    @abstractmethod
    def card(self) -> LeaderCard:
        """Return what a deployed leader must know."""

    @abstractmethod
    def batches(self, device: torch.device, share: Share = WHOLE) -> TrainingBatches:
        """Return the training batches, with the images of a share of each.

        Raises:
            UserError: For sizes that the data do not allow.
        """

    @abstractmethod
    def method(self, cohort: Cohort) -> Method:
        """Return the method, with its teacher if it has one.

        Raises:
            UserError: The teacher is missing or does not fit.
        """

    @abstractmethod
    def evaluator(self, split: str, device: torch.device, processes: ProcessGroup | None = None) -> Evaluator | None:
        """Return the evaluator of the split "val" or "test"; None if the split has no images.

        Args:
            split: Name of the split.
            device: Where to evaluate.
            processes: Processes that all call the evaluator; they may share the images among them.

        Raises:
            UserError: For sizes that the data do not allow.
        """

    @abstractmethod
    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return the ensemble of the method with the weights of the checkpoint ``state``."""
