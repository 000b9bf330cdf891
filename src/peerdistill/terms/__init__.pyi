from .attention import AttentionTargets, GroupToLeader
from .collaborative import CollaborativeTarget
from .contrast import MultiViewContrast
from .cross_entropy import CrossEntropy
from .ensemble import EnsembleCrossEntropy, EnsembleToLeader, EnsembleToPeers
from .feature_ensemble import FeatureEnsemble
from .gate import GatedEnsemble
from .method import Loss, MeanEnsemble, Method, Ramp, Weighted
from .mutual import MutualKL, OthersToPeer
from .mutual_contrast import (
    InBatchScores,
    InteractiveContrast,
    SoftInteractiveContrast,
    SoftVanillaContrast,
    VanillaContrast,
)
from .relations import TeacherRelation, angle_loss, distance_loss
from .teacher import Teacher, TeacherToLeader
from .teacher_contrast import TeacherContrast
from .temporal_mean import MeanPeersToPeers

__all__ = [
    "AttentionTargets",
    "CollaborativeTarget",
    "CrossEntropy",
    "EnsembleCrossEntropy",
    "EnsembleToLeader",
    "EnsembleToPeers",
    "FeatureEnsemble",
    "GatedEnsemble",
    "GroupToLeader",
    "InBatchScores",
    "InteractiveContrast",
    "Loss",
    "MeanEnsemble",
    "MeanPeersToPeers",
    "Method",
    "MultiViewContrast",
    "MutualKL",
    "OthersToPeer",
    "Ramp",
    "SoftInteractiveContrast",
    "SoftVanillaContrast",
    "Teacher",
    "TeacherContrast",
    "TeacherRelation",
    "TeacherToLeader",
    "VanillaContrast",
    "Weighted",
    "angle_loss",
    "distance_loss",
]
