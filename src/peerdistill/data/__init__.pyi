from .augmentation import Augmentation
from .batches import Batch, eval_batches, train_batches
from .config import DataConfig, MixConfig
from .dataset import Dataset
from .images.decode import open_picture
from .images.preprocess import fit
from .load import load_dataset

__all__ = [
    "Augmentation",
    "Batch",
    "DataConfig",
    "Dataset",
    "MixConfig",
    "eval_batches",
    "fit",
    "load_dataset",
    "open_picture",
    "train_batches",
]
