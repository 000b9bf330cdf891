from .checkpoints import Checkpoints
from .config import GrowthConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from .interrupts import Interrupted, InterruptRequest, ignore_signals
from .loggers import ConsoleLog, LoggedRun, Logger, LoggerKind, StepReading, TensorBoardLog
from .loss_meter import Diverged
from .metrics import MetricsFile
from .progress import Progress
from .trainer import Trainer

__all__ = [
    "Checkpoints",
    "ConsoleLog",
    "Diverged",
    "GrowthConfig",
    "InterruptRequest",
    "Interrupted",
    "LoggedRun",
    "Logger",
    "LoggerKind",
    "MetricsFile",
    "OptimizerConfig",
    "Progress",
    "ScheduleConfig",
    "StepReading",
    "TensorBoardLog",
    "Trainer",
    "TrainingConfig",
    "ignore_signals",
]
