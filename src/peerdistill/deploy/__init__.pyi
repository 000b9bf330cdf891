from .card import LeaderCard
from .exporter import ExportReport, export
from .leader import backbone_of, load_leader, read_safetensors
from .predictor import Prediction, predict, predict_with
from .writers import ExportError

__all__ = [
    "ExportError",
    "ExportReport",
    "LeaderCard",
    "Prediction",
    "backbone_of",
    "export",
    "load_leader",
    "predict",
    "predict_with",
    "read_safetensors",
]
