from .bank import MemoryBank
from .in_batch import scores_across, scores_within, supervised_contrast
from .memory import BankMemory, QueueMemory, memory_for, memory_of
from .nce import log_normalisers, multi_view_nce, queue_nce
from .options import BankContrastOptions, ContrastOptions, TeacherContrastOptions
from .queue import EmbeddingQueue
from .samplers import AllSampler, NegativeSampler, SharedSampler
from .shard import DealtRows, Shard

__all__ = [
    "AllSampler",
    "BankContrastOptions",
    "BankMemory",
    "ContrastOptions",
    "DealtRows",
    "EmbeddingQueue",
    "MemoryBank",
    "NegativeSampler",
    "QueueMemory",
    "Shard",
    "SharedSampler",
    "TeacherContrastOptions",
    "log_normalisers",
    "memory_for",
    "memory_of",
    "multi_view_nce",
    "queue_nce",
    "scores_across",
    "scores_within",
    "supervised_contrast",
]
