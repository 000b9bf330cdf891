from .attention import AttentionTargets, GroupToLeader
from .contrast import MultiViewContrast
from .cross_entropy import CrossEntropy
from .ensemble import EnsembleCrossEntropy, EnsembleToLeader, EnsembleToPeers
from .gate import GatedEnsemble
from .method import Loss, MeanEnsemble, Method, Ramp, Weighted
from .mutual import MutualKL, OthersToPeer

__all__ = [
    "AttentionTargets",
    "CrossEntropy",
    "EnsembleCrossEntropy",
    "EnsembleToLeader",
    "EnsembleToPeers",
    "GatedEnsemble",
    "GroupToLeader",
    "Loss",
    "MeanEnsemble",
    "Method",
    "MultiViewContrast",
    "MutualKL",
    "OthersToPeer",
    "Ramp",
    "Weighted",
]
