from .accuracy import Accuracy, Evaluation, evaluate

__all__ = ["Accuracy", "Evaluation", "evaluate"]
