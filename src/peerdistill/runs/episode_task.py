"""Few-shot classification, learned from episodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from peerdistill import fewshot
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.data import Augmentation
from peerdistill.data.arrays import GivenImages
from peerdistill.data.normaliser import Normaliser
from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError
from peerdistill.fewshot import (
    ClassSplit,
    EpisodeBatches,
    EpisodeConfig,
    EpisodeEvaluator,
    EpisodeSampler,
    EpisodeSet,
    EpisodeSetConfig,
    FewShotData,
)
from peerdistill.runs.build import card_of
from peerdistill.runs.task import Task
from peerdistill.runs.teacher import load_feature_teacher
from peerdistill.shares import WHOLE, Share
from peerdistill.terms import MeanEnsemble, Method, TeacherToLeader
from peerdistill.training.parallel import ProcessGroup

_SPLIT_NAMES = {"val": "validation", "test": "test"}


class EpisodeTask(Task):
    """The few-shot data of a run.

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
        assert isinstance(config.data, FewShotData)
        self._config = config
        self._images = config.data
        self._data = fewshot.load_few_shot(config.data, download=download, skip_unreadable=skip_unreadable, given=given)

    @property
    def _episodes(self) -> EpisodeConfig:
        assert self._config.episodes is not None
        return self._config.episodes

    @property
    def data(self) -> fewshot.FewShotDataset:
        """The images; the class names are those of the training classes."""
        return self._data

    @property
    def lines(self) -> Sequence[str]:
        """The shape of the training episodes."""
        shape = self._episodes.shape
        return (f"{shape.column} episodes, {shape.queries} queries",)

    def card(self) -> LeaderCard:
        """Return the card of an encoder: the deployed leader has no classifier."""
        return replace(card_of(self._config, self._data), class_names=())

    def batches(self, device: torch.device, share: Share = WHOLE) -> EpisodeBatches:
        """Return training episodes."""
        return EpisodeBatches(
            self._data.train,
            EpisodeSampler(self._data.train, self._episodes.shape),
            Normaliser(self._data, device),
            episodes_per_epoch=self._episodes.episodes_per_epoch,
            augmentation=Augmentation(self._images.crop_padding, self._images.flip),
            seed=self._config.training.seed,
            device=device,
            share=share,
        )

    def method(self, cohort: Cohort) -> Method:
        """Return the method in its few-shot form."""
        config, options = self._config, self._config.teacher
        teacher, classes = None, ()
        if options.teacher:
            teacher, classes = load_feature_teacher(options.teacher, self._data, options.teacher_what)
        method = fewshot.build_method(
            config.method,
            cohort,
            self._episodes,
            train_labels=self._data.train.labels,
            teacher=teacher,
            teacher_weight=options.teacher_weight,
            teacher_temperature=options.teacher_temperature,
            **config.options,
        )
        needs_logits = any(isinstance(term, TeacherToLeader) for term in method.terms.values())
        if needs_logits and classes != self._data.class_names:
            raise UserError(
                f"teacher {options.teacher} has no classifier for the training classes: use rkd-d, rkd-da or crd, "
                "which need only its features"
            )
        return method

    def evaluator(
        self, split: str, device: torch.device, processes: ProcessGroup | None = None
    ) -> EpisodeEvaluator | None:
        """Return the evaluator of the episodes that the configuration names for a split.

        Several processes share the images that have to be encoded.
        """
        episodes = self.episode_set(split, getattr(self._episodes, _SPLIT_NAMES[split]), device)
        if episodes is None:
            return None
        if processes is None:
            return EpisodeEvaluator(episodes)
        return EpisodeEvaluator(episodes, processes.share, processes.total)

    def episode_set(self, split: str, config: EpisodeSetConfig, device: torch.device) -> EpisodeSet | None:
        """Return other episodes of a split; None if it has no images."""
        images: ClassSplit | None = getattr(self._data, split)
        if images is None:
            return None
        shape, normaliser = config.shape(self._episodes), Normaliser(self._data, device)
        return EpisodeSet.draw(images, shape, config.episodes, config.seed, normaliser, _SPLIT_NAMES[split])

    def ensemble(self, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        """Return the mean of logits, which the evaluation of episodes does not use."""
        del cohort, state
        return MeanEnsemble()
