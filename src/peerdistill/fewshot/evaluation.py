"""Accuracy of peers over episodes: each image is encoded once, episodes are matrix products.

Axes: M peers; E episodes (e so many at once), W ways, S shots, Q queries; V the voters, all peers and then their
ensemble.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.data.normaliser import Normaliser
from peerdistill.errors import UserError
from peerdistill.evaluation import Accuracy, Evaluation, evaluating
from peerdistill.fewshot.config import EpisodeShape
from peerdistill.fewshot.dataset import ClassSplit
from peerdistill.fewshot.episodes import Episodes, EpisodeSampler, exam_episodes
from peerdistill.fewshot.prototypical import nearness

_ENCODED_AT_ONCE = 256
# Floats of working memory for the episodes that are judged at once.
_FLOATS_AT_ONCE = 2**23
_NORMAL_95 = 1.96


@dataclass(frozen=True, eq=False)
class Exam:
    """Episodes of a split on which peers are judged.

    Attributes:
        split: The images.
        shape: Of the episodes.
        episodes: Their rows in the split.
        seed: They were drawn from.
        normaliser: Of the pixels; it says on which device the peers are.
    """

    split: ClassSplit
    shape: EpisodeShape
    episodes: Episodes
    seed: int
    normaliser: Normaliser

    @classmethod
    def draw(
        cls, split: ClassSplit, shape: EpisodeShape, episodes: int, seed: int, normaliser: Normaliser, name: str
    ) -> "Exam":
        """Return an exam of so many episodes of a seed; errors call the split ``name``.

        Raises:
            UserError: As :class:`EpisodeSampler`, and for fewer than two episodes.
        """
        if episodes < 2:
            raise UserError(f"the 95 % interval of {name} episodes needs at least 2 of them, found {episodes}")
        return cls(split, shape, exam_episodes(EpisodeSampler(split, shape, name), episodes, seed), seed, normaliser)


@dataclass(frozen=True)
class EpisodeEvaluation(Evaluation):
    """Mean accuracy of a cohort over episodes; ``samples`` counts the queries that were answered."""

    shape: EpisodeShape
    episodes: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON: the episodes' shape, number and seed, and then as every evaluation."""
        return {**self.shape._asdict(), "episodes": self.episodes, "seed": self.seed, **super().as_dict()}


def mean_and_interval(values: Float[Tensor, " episodes"]) -> tuple[float, float]:
    """Return the mean over episodes and half the width of its 95 % interval, 1.96 standard errors."""
    return values.mean().item(), _NORMAL_95 * values.std().item() / math.sqrt(len(values))


def evaluate_episodes(cohort: nn.Module, ensemble: nn.Module, exam: Exam) -> EpisodeEvaluation:
    """Return the accuracies of ``cohort`` in an exam.

    Args:
        cohort: The peers; in evaluation mode for this, and then in the mode they had.
        ensemble: Not used: peers without class scores have one ensemble, see :func:`accuracies`.
        exam: The episodes.
    """
    del ensemble
    return summary(accuracies(cohort, [exam])[0], exam)


def summary(accuracy_VE: Float[Tensor, "voters episodes"], exam: Exam) -> EpisodeEvaluation:
    """Return what :func:`accuracies` found in an exam as means with intervals."""
    found = [mean_and_interval(voter) for voter in accuracy_VE]
    *peers, together = [Accuracy(100 * mean, None, 100 * interval) for mean, interval in found]
    episodes = accuracy_VE.shape[1]
    samples = episodes * exam.shape.ways * exam.shape.queries
    return EpisodeEvaluation(samples, tuple(peers), together, exam.shape, episodes, exam.seed)


@torch.no_grad()
def accuracies(cohort: nn.Module, exams: Sequence[Exam]) -> list[Float[Tensor, "voters episodes"]]:
    """Return the share of right answers in every episode, 0..1, of every peer and, last, of their ensemble.

    The ensemble answers by the mean of the peers' squared distances: it is the prototypical network whose features are
    those of all peers side by side. Whatever ensemble a method forms of class scores plays no part.

    Args:
        cohort: The peers; in evaluation mode for this, and then in the mode they had.
        exams: All of the same split, of which each image that occurs is encoded once.
    """
    rows = torch.cat([exam.episodes.rows.flatten() for exam in exams]).unique()
    features = _encode(cohort, exams[0], rows)
    found = []
    for exam in exams:
        # Where an image of the split is among those that were encoded.
        support, query = (torch.searchsorted(rows, part) for part in (exam.episodes.support, exam.episodes.query))
        found.append(_answers(features, support, query))
    return found


def _encode(cohort: nn.Module, exam: Exam, rows: Int[Tensor, " images"]) -> list[Float[Tensor, "images width"]]:
    """Return the features of every peer, whose widths may differ."""
    images, device = exam.split.images, exam.normaliser.device
    with evaluating(cohort):
        parts = [
            cohort(exam.normaliser(images[block].to(device))).features
            for block in rows.to(images.device).split(_ENCODED_AT_ONCE)
        ]
    return [torch.cat(of_peer).float() for of_peer in zip(*parts, strict=True)]


def _answers(
    features: Sequence[Float[Tensor, "images _width"]],
    support_EWS: Int[Tensor, "episodes ways shots"],
    query_EWQ: Int[Tensor, "episodes ways queries"],
) -> Float[Tensor, "voters episodes"]:
    device = features[0].device
    _, ways, queries = query_EWQ.shape
    widest = max(of_peer.shape[1] for of_peer in features)
    gathered = ways * (support_EWS.shape[2] + queries) * widest
    answers = (len(features) + 1) * ways * queries * ways
    at_once = max(1, _FLOATS_AT_ONCE // (gathered + answers))
    of_query = torch.arange(ways, device=device).repeat_interleave(queries)
    parts = []
    for support_eWS, query_eWQ in zip(support_EWS.split(at_once), query_EWQ.split(at_once), strict=True):
        support, query = support_eWS.to(device), query_eWQ.to(device).flatten(1)
        logits_MeQW = torch.stack([nearness(of_peer[query], of_peer[support].mean(-2)) for of_peer in features])
        logits_VeQW = torch.cat([logits_MeQW, logits_MeQW.mean(0, keepdim=True)])
        parts.append((logits_VeQW.argmax(-1) == of_query).double().mean(-1))
    return torch.cat(parts, dim=1).cpu()
