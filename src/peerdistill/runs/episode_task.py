"""Learning to tell classes from a few examples, from episodes."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from peerdistill import fewshot
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.data import Augmentation
from peerdistill.data.normaliser import Normaliser
from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError
from peerdistill.fewshot import ClassSplit, EpisodeBatches, EpisodeSampler, Exam, ExamConfig, FewShotData
from peerdistill.runs.build import card_of
from peerdistill.runs.task import Task
from peerdistill.runs.teacher import load_feature_teacher
from peerdistill.terms import MeanEnsemble, Method, TeacherToLeader

_SPLIT_NAMES = {"val": "validation", "test": "test"}


class EpisodeTask(Task):
    """The few-shot data of a configuration, loaded.

    Args:
        config: Of the run.
        download: Fetch data that can be fetched.
        skip_unreadable: Leave out pictures that can't be read.

    Raises:
        UserError: For data that are not there or damaged.
    """

    judge = staticmethod(fewshot.evaluate_episodes)

    def __init__(self, config: Config, *, download: bool = False, skip_unreadable: bool = False):
        assert isinstance(config.data, FewShotData)
        assert config.episodes is not None
        self._config = config
        self._images = config.data
        self._episodes = config.episodes
        self._data = fewshot.load_few_shot(config.data, download=download, skip_unreadable=skip_unreadable)

    @property
    def data(self) -> fewshot.FewShotDataset:
        """The images; the class names are those of training."""
        return self._data

    def card(self) -> LeaderCard:
        """Return the card of an encoder: the leader is deployed without its classifier."""
        return replace(card_of(self._config, self._data), class_names=())

    def batches(self, device: torch.device) -> EpisodeBatches:
        """Return training episodes."""
        return EpisodeBatches(
            self._data.train,
            EpisodeSampler(self._data.train, self._episodes.shape),
            Normaliser(self._data, device),
            episodes_per_epoch=self._episodes.episodes_per_epoch,
            augmentation=Augmentation(self._images.crop_padding, self._images.flip),
            seed=self._config.training.seed,
            device=device,
        )

    def method(self, cohort: Cohort) -> Method:
        """Return the method in its few-shot form."""
        config, taught = self._config, self._config.teacher
        teacher, scored = load_feature_teacher(taught.teacher, self._data) if taught.teacher else (None, ())
        method = fewshot.build_method(
            config.method,
            cohort,
            self._episodes,
            train_labels=self._data.train.labels,
            teacher=teacher,
            teacher_weight=taught.teacher_weight,
            teacher_temperature=taught.teacher_temperature,
            **config.options,
        )
        needs_scores = any(isinstance(term, TeacherToLeader) for term in method.terms.values())
        if needs_scores and scored != self._data.class_names:
            raise UserError(
                f"teacher {taught.teacher} has no trained classifier of the training classes, from which the leader "
                "would learn: rkd-d, rkd-da and crd learn from its features"
            )
        return method

    def exam(self, split: str, device: torch.device) -> Exam | None:
        """Return the episodes of a split that the configuration asks for."""
        return self.exam_of(split, getattr(self._episodes, _SPLIT_NAMES[split]), device)

    def exam_of(self, split: str, asked: ExamConfig, device: torch.device) -> Exam | None:
        """Return other episodes of a split."""
        images: ClassSplit | None = getattr(self._data, split)
        if images is None:
            return None
        shape, normaliser = asked.shape(self._episodes), Normaliser(self._data, device)
        return Exam.draw(images, shape, asked.episodes, asked.seed, normaliser, _SPLIT_NAMES[split])

    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return an ensemble of class scores, which episodes do not use."""
        del cohort, state
        return MeanEnsemble()
