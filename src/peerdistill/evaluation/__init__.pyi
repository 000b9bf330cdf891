from .accuracy import Accuracy, Evaluation, LabelledBatch, evaluate, evaluating

__all__ = ["Accuracy", "Evaluation", "LabelledBatch", "evaluate", "evaluating"]
