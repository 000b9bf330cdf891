from .bank import MemoryBank
from .in_batch import scores_across, scores_within, supervised_contrast
from .memory import BankMemory, QueueMemory, memory_for
from .nce import log_normalisers, multi_view_nce, queue_nce
from .negatives import EverySample, NegativeSampler, SharedSampler
from .options import ContrastOptions, RememberedOptions, TeacherContrastOptions
from .queue import EmbeddingQueue

__all__ = [
    "BankMemory",
    "ContrastOptions",
    "EmbeddingQueue",
    "EverySample",
    "MemoryBank",
    "NegativeSampler",
    "QueueMemory",
    "RememberedOptions",
    "SharedSampler",
    "TeacherContrastOptions",
    "log_normalisers",
    "memory_for",
    "multi_view_nce",
    "queue_nce",
    "scores_across",
    "scores_within",
    "supervised_contrast",
]
