from .config import EpisodeConfig, EpisodeSetConfig, EpisodeShape, FewShotData, paper_columns
from .dataset import ClassSplit, FewShotDataset
from .episodes import EpisodeBatches, Episodes, EpisodeSampler, evaluation_episodes
from .evaluation import (
    EpisodeEvaluation,
    EpisodeEvaluator,
    EpisodeSet,
    accuracies,
    mean_and_interval,
    mean_scores,
    summary,
)
from .load import load_few_shot
from .method import build_method
from .prototypical import Prototypical, nearness, prototypical_logits

__all__ = [
    "ClassSplit",
    "EpisodeBatches",
    "EpisodeConfig",
    "EpisodeEvaluation",
    "EpisodeEvaluator",
    "EpisodeSampler",
    "EpisodeSet",
    "EpisodeSetConfig",
    "EpisodeShape",
    "Episodes",
    "FewShotData",
    "FewShotDataset",
    "Prototypical",
    "accuracies",
    "build_method",
    "evaluation_episodes",
    "load_few_shot",
    "mean_and_interval",
    "mean_scores",
    "nearness",
    "paper_columns",
    "prototypical_logits",
    "summary",
]
