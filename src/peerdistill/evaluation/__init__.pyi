from .evaluator import ClassEvaluator, Evaluator, LabelledBatch, evaluating
from .metrics import METRICS, Metric, Predictions, metric
from .scores import Evaluation, Scores

__all__ = [
    "METRICS",
    "ClassEvaluator",
    "Evaluation",
    "Evaluator",
    "LabelledBatch",
    "Metric",
    "Predictions",
    "Scores",
    "evaluating",
    "metric",
]
