from .checkpoints import Checkpoints
from .config import OptimizerConfig, ScheduleConfig, TrainingConfig
from .interrupts import Interrupted
from .loggers import ConsoleLog, Logger, TensorBoardLog
from .meter import Diverged
from .metrics import MetricsFile
from .trainer import Progress, Trainer

__all__ = [
    "Checkpoints",
    "ConsoleLog",
    "Diverged",
    "Interrupted",
    "Logger",
    "MetricsFile",
    "OptimizerConfig",
    "Progress",
    "ScheduleConfig",
    "TensorBoardLog",
    "Trainer",
    "TrainingConfig",
]
