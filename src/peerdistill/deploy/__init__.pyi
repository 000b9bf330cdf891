from . import formats
from .average import average_of_peers
from .card import LeaderCard
from .exporter import ExportReport, export
from .formats import ExportError, Format, open_scorer
from .leader import first_difference, load_leader, not_finite, open_leader, read_safetensors
from .predictor import Prediction, predict, predict_with

__all__ = [
    "ExportError",
    "ExportReport",
    "Format",
    "LeaderCard",
    "Prediction",
    "average_of_peers",
    "export",
    "first_difference",
    "formats",
    "load_leader",
    "not_finite",
    "open_leader",
    "open_scorer",
    "predict",
    "predict_with",
    "read_safetensors",
]
