from .card import LeaderCard
from .destination import ExportError
from .exporter import ExportReport, export
from .leader import first_difference, load_leader, not_finite, open_leader, read_safetensors
from .predictor import Prediction, predict, predict_with
from .quantiser import QuantisedReport, quantise

__all__ = [
    "ExportError",
    "ExportReport",
    "LeaderCard",
    "Prediction",
    "QuantisedReport",
    "export",
    "first_difference",
    "load_leader",
    "not_finite",
    "open_leader",
    "predict",
    "predict_with",
    "quantise",
    "read_safetensors",
]
