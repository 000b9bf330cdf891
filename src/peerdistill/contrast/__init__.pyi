from .bank import MemoryBank
from .in_batch import scores_across, scores_within, supervised_contrast
from .nce import log_normalisers, multi_view_nce
from .negatives import NegativeSampler
from .options import ContrastOptions

__all__ = [
    "ContrastOptions",
    "MemoryBank",
    "NegativeSampler",
    "log_normalisers",
    "multi_view_nce",
    "scores_across",
    "scores_within",
    "supervised_contrast",
]
