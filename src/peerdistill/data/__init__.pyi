from . import pictures
from .augmentation import Augmentation
from .batches import Batch, eval_batches, train_batches
from .config import DataConfig
from .dataset import Dataset
from .sources import load_dataset

__all__ = [
    "Augmentation",
    "Batch",
    "DataConfig",
    "Dataset",
    "eval_batches",
    "load_dataset",
    "pictures",
    "train_batches",
]
