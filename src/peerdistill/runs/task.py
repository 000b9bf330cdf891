"""What differs between runs that learn from labelled images and runs that learn from episodes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.data import Dataset
from peerdistill.deploy import LeaderCard
from peerdistill.evaluation import Evaluation
from peerdistill.terms import Method
from peerdistill.training.trainer import TrainingBatches

SPLITS = ("test", "val")
"""The splits on which peers are judged."""


class Task(ABC):
    """The data of a run, how peers learn from them and how they are judged.

    Attributes:
        judge: Makes accuracies of a cohort, the method's ensemble and an exam.
    """

    judge: ClassVar[Callable[..., Evaluation]]

    @property
    @abstractmethod
    def data(self) -> Dataset:
        """The images."""

    @abstractmethod
    def card(self) -> LeaderCard:
        """Return what a deployed leader must know."""

    @abstractmethod
    def batches(self, device: torch.device) -> TrainingBatches:
        """Return what peers learn from.

        Raises:
            UserError: For sizes that the data do not allow.
        """

    @abstractmethod
    def method(self, cohort: Cohort) -> Method:
        """Return the method, with its teacher where it has one.

        Raises:
            UserError: For a teacher that is not there or does not fit.
        """

    @abstractmethod
    def exam(self, split: str, device: torch.device) -> Any | None:
        """Return what ``judge`` needs of the split "val" or "test", None where it has no images.

        Raises:
            UserError: For sizes that the data do not allow.
        """

    @abstractmethod
    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return the method's ensemble as the checkpoint ``state`` has it."""
