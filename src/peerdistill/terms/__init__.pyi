from .contrast import MultiViewContrast
from .cross_entropy import CrossEntropy
from .ensemble import EnsembleToLeader, mean_logits
from .method import Loss, Method, Weighted

__all__ = [
    "CrossEntropy",
    "EnsembleToLeader",
    "Loss",
    "Method",
    "MultiViewContrast",
    "Weighted",
    "mean_logits",
]
