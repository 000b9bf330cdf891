from .attention import AttentionTargets, GroupToLeader
from .contrast import MultiViewContrast
from .cross_entropy import CrossEntropy
from .ensemble import EnsembleCrossEntropy, EnsembleToLeader, EnsembleToPeers
from .gate import GatedEnsemble
from .method import Loss, MeanEnsemble, Method, Ramp, Weighted
from .mutual import MutualKL, OthersToPeer
from .relations import TeacherRelation, angles, relative_distances
from .teacher import Teacher, TeacherToLeader
from .teacher_contrast import TeacherContrast

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
    "Teacher",
    "TeacherContrast",
    "TeacherRelation",
    "TeacherToLeader",
    "Weighted",
    "angles",
    "relative_distances",
]
