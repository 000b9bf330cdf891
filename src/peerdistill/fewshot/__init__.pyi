from .config import EpisodeConfig, EpisodeShape, ExamConfig, FewShotData, paper_columns
from .dataset import ClassSplit, FewShotDataset
from .episodes import EpisodeBatches, Episodes, EpisodeSampler, exam_episodes
from .evaluation import EpisodeEvaluation, Exam, accuracies, evaluate_episodes, mean_and_interval, summary
from .load import load_few_shot
from .method import build_method
from .prototypical import Prototypical, nearness, prototypical_logits

__all__ = [
    "ClassSplit",
    "EpisodeBatches",
    "EpisodeConfig",
    "EpisodeEvaluation",
    "EpisodeSampler",
    "EpisodeShape",
    "Episodes",
    "Exam",
    "ExamConfig",
    "FewShotData",
    "FewShotDataset",
    "Prototypical",
    "accuracies",
    "build_method",
    "evaluate_episodes",
    "exam_episodes",
    "load_few_shot",
    "mean_and_interval",
    "nearness",
    "paper_columns",
    "prototypical_logits",
    "summary",
]
