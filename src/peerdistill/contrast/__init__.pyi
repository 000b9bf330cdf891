from .bank import MemoryBank
from .nce import multi_view_nce
from .negatives import NegativeSampler
from .options import ContrastOptions

__all__ = ["ContrastOptions", "MemoryBank", "NegativeSampler", "multi_view_nce"]
