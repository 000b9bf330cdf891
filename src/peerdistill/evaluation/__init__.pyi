from .accuracy import Accuracy, Evaluation, LabelledBatch, evaluate

__all__ = ["Accuracy", "Evaluation", "LabelledBatch", "evaluate"]
