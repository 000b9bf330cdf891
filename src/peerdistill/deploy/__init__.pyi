from .card import LeaderCard
from .exporter import ExportReport, export
from .leader import load_leader
from .predictor import Prediction, predict, predict_with
from .writers import ExportError

__all__ = [
    "ExportError",
    "ExportReport",
    "LeaderCard",
    "Prediction",
    "export",
    "load_leader",
    "predict",
    "predict_with",
]
