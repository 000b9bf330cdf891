from .alone import Alone
from .calibration import calibrated_temperature
from .evaluator import ClassEvaluator, Evaluator, LabelledBatch, evaluating
from .metrics import METRICS, Metric, Predictions, metric
from .report import ClassReport, Confidences, EvaluationReport, KeptOutcomes, Mistake, Outcomes, Rates, most_confused
from .scores import Evaluation, Scores

__all__ = [
    "METRICS",
    "Alone",
    "ClassEvaluator",
    "ClassReport",
    "Confidences",
    "Evaluation",
    "EvaluationReport",
    "Evaluator",
    "KeptOutcomes",
    "LabelledBatch",
    "Metric",
    "Mistake",
    "Outcomes",
    "Predictions",
    "Rates",
    "Scores",
    "calibrated_temperature",
    "evaluating",
    "metric",
    "most_confused",
]
