"""Accuracy of peers over episodes: each image is encoded once, and episodes are matrix products.

Axes: M peers; E episodes (e of one block), W ways, S shots, Q queries; P predictors (all peers, then their ensemble).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.data.normaliser import Normaliser
from peerdistill.errors import UserError
from peerdistill.evaluation import Evaluation, Evaluator, Scores, evaluating
from peerdistill.fewshot.config import EpisodeShape
from peerdistill.fewshot.dataset import ClassSplit
from peerdistill.fewshot.episodes import Episodes, EpisodeSampler, evaluation_episodes
from peerdistill.fewshot.prototypical import nearness
from peerdistill.shares import WHOLE, Share

_ENCODED_AT_ONCE = 256
# Floats of working memory for one block of episodes.
_FLOATS_AT_ONCE = 2**23
_NORMAL_95 = 1.96

Total = Callable[[Tensor], Tensor]


def _alone(own: Tensor) -> Tensor:
    """Return the sum over a single process."""
    return own


@dataclass(frozen=True, eq=False)
class EpisodeSet:
    """An evaluation set of episodes.

    Attributes:
        split: The images.
        shape: Shape of the episodes.
        episodes: Rows of the split in each episode.
        seed: Seed of the episodes.
        normaliser: Normalises the pixels; its device is that of the peers.
    """

    split: ClassSplit
    shape: EpisodeShape
    episodes: Episodes
    seed: int
    normaliser: Normaliser

    @classmethod
    def draw(
        cls, split: ClassSplit, shape: EpisodeShape, episodes: int, seed: int, normaliser: Normaliser, name: str
    ) -> "EpisodeSet":
        """Return the episodes of a seed.

        Args:
            split: The images.
            shape: Shape of the episodes.
            episodes: Number of episodes.
            seed: Seed of the episodes.
            normaliser: Normalises the pixels.
            name: Name of the split in error messages.

        Raises:
            UserError: As :class:`EpisodeSampler`, and for fewer than two episodes.
        """
        if episodes < 2:
            raise UserError(f"the 95 % interval of {name} episodes needs at least 2 episodes, found {episodes}")
        return cls(
            split, shape, evaluation_episodes(EpisodeSampler(split, shape, name), episodes, seed), seed, normaliser
        )


@dataclass(frozen=True)
class EpisodeEvaluation(Evaluation):
    """Mean accuracy of a cohort over episodes; ``samples`` is the number of classified queries."""

    shape: EpisodeShape
    episodes: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON: shape, number and seed of the episodes, then those of every evaluation."""
        return {**self.shape._asdict(), "episodes": self.episodes, "seed": self.seed, **super().as_dict()}


def mean_and_interval(values: Float[Tensor, " episodes"]) -> tuple[float, float]:
    """Return the mean over episodes and half the width of its 95 % confidence interval, 1.96 standard errors."""
    return values.mean().item(), _NORMAL_95 * values.std().item() / math.sqrt(len(values))


class EpisodeEvaluator(Evaluator):
    """Evaluates prototypical classification on one evaluation set of episodes.

    Args:
        episodes: The evaluation set.
        share: The part of the images that this process encodes.
        total: Returns the sum of a tensor on the CPU over all processes, if each of several has a share.
    """

    def __init__(self, episodes: EpisodeSet, share: Share = WHOLE, total: Total = _alone):
        self.episodes = episodes
        self._encoded = {"share": share, "total": total}

    def __call__(
        self, cohort: nn.Module, ensemble: nn.Module, others: Mapping[str, nn.Module] | None = None
    ) -> EpisodeEvaluation:
        """Return the accuracies of all peers, of their ensemble and of other networks.

        Args:
            cohort: The peers; they are in evaluation mode during the call.
            ensemble: Not used. It combines class logits, and episodes are classified by features, see
                :func:`accuracies`.
            others: Further networks by name, each a cohort of one peer.
        """
        del ensemble
        beside = {name: self._accuracies(other)[0] for name, other in (others or {}).items()}
        return summary(self._accuracies(cohort), self.episodes, beside)

    def _accuracies(self, cohort: nn.Module) -> Float[Tensor, "predictors episodes"]:
        return accuracies(cohort, [self.episodes], **self._encoded)[0]


def summary(
    accuracy_PE: Float[Tensor, "predictors episodes"],
    episodes: EpisodeSet,
    others: Mapping[str, Float[Tensor, " episodes"]] | None = None,
) -> EpisodeEvaluation:
    """Return the result of :func:`accuracies` for one evaluation set as means with confidence intervals.

    Args:
        accuracy_PE: The result for a cohort.
        episodes: The evaluation set.
        others: Accuracy of further networks in every episode, by name.
    """
    *peers, together = [mean_scores(of_predictor) for of_predictor in accuracy_PE]
    count, shape = accuracy_PE.shape[1], episodes.shape
    beside = {name: mean_scores(accuracy) for name, accuracy in (others or {}).items()}
    samples = count * shape.ways * shape.queries
    return EpisodeEvaluation(samples, tuple(peers), together, shape, count, episodes.seed, others=beside)


def mean_scores(accuracy_E: Float[Tensor, " episodes"]) -> Scores:
    """Return the mean of accuracies, or of their differences, in percent, with its confidence interval."""
    mean, interval = mean_and_interval(accuracy_E)
    return Scores({"top1": 100 * mean, "interval95": 100 * interval})


@torch.no_grad()
def accuracies(
    cohort: nn.Module, sets: Sequence[EpisodeSet], share: Share = WHOLE, total: Total = _alone
) -> list[Float[Tensor, "predictors episodes"]]:
    """Return the accuracy of every predictor in every episode, 0..1: of all peers, then of their ensemble.

    The ensemble uses the mean of the peers' squared distances. It is the prototypical network whose features are those
    of all peers concatenated. The ensemble of class logits of a method is not used.

    Args:
        cohort: The peers; they are in evaluation mode during the call.
        sets: Evaluation sets of the same split; each of their images is encoded once.
        share: The part of the images that this process encodes.
        total: Returns the sum of a tensor on the CPU over all processes, if each of several has a share.
    """
    rows = torch.cat([one.episodes.rows.flatten() for one in sets]).unique()
    own = share.of(len(rows))
    features = [_whole(part, own, len(rows), total) for part in _encode(cohort, sets[0], rows[own])]
    found = []
    for one in sets:
        # Positions of the images among those that were encoded.
        support, query = (torch.searchsorted(rows, part) for part in (one.episodes.support, one.episodes.query))
        found.append(_correct(features, support, query))
    return found


def _whole(
    own_nD: Float[Tensor, "own width"], place: slice, images: int, total: Total
) -> Float[Tensor, "{images} width"]:
    """Return the features of all images, given those of this process: the others add zeros, which is exact."""
    if len(own_nD) == images:
        return own_nD
    whole_ND = torch.zeros(images, own_nD.shape[1])
    whole_ND[place] = own_nD.cpu()
    return total(whole_ND).to(own_nD.device)


def _encode(
    cohort: nn.Module, episodes: EpisodeSet, rows: Int[Tensor, " images"]
) -> list[Float[Tensor, "images width"]]:
    """Return the features of every peer; widths may differ."""
    images, device = episodes.split.images, episodes.normaliser.device
    with evaluating(cohort):
        parts = [
            cohort(episodes.normaliser(images[block].to(device))).features
            for block in rows.to(images.device).split(_ENCODED_AT_ONCE)
        ]
    return [torch.cat(of_peer).float() for of_peer in zip(*parts, strict=True)]


def _correct(
    features: Sequence[Float[Tensor, "images _width"]],
    support_EWS: Int[Tensor, "episodes ways shots"],
    query_EWQ: Int[Tensor, "episodes ways queries"],
) -> Float[Tensor, "predictors episodes"]:
    """Return the share of queries of each episode that each predictor classifies correctly."""
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
        logits_PeQW = torch.cat([logits_MeQW, logits_MeQW.mean(0, keepdim=True)])
        parts.append((logits_PeQW.argmax(-1) == of_query).double().mean(-1))
    return torch.cat(parts, dim=1).cpu()
