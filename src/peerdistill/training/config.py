"""The options of training, readable without importing PyTorch."""

from dataclasses import dataclass, field
from typing import Literal

from peerdistill.errors import UserError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Kind."""
    momentum: float = 0.9
    """Momentum of sgd."""
    nesterov: bool = True
    """Nesterov's momentum for sgd."""
    weight_decay: float = 5e-4
    """Weight decay."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over time, set anew at every step."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    """From lr to 0 along half a cosine, times ``factor`` after every so many steps, or constant."""
    every: int = 2000
    """Steps after which step multiplies the rate."""
    factor: float = 0.5
    """What step multiplies the rate by."""
    warmup: float = 0.0
    """Share of all steps over which the rate first rises from 0."""


@dataclass(frozen=True)
class TrainingConfig:
    """Training."""

    epochs: int = 300
    """Passes over the training images."""
    batch_size: int = 64
    """Images in a batch."""
    lr: float = 0.05
    """Learning rate at the start."""
    seed: int = 0
    """Seed of weights, order, augmentation and negatives."""
    device: Device = "auto"
    """Where to train."""
    precision: Precision = "32-true"
    """Number format of the networks' forward pass."""
    memory_format: MemoryFormat = "auto"
    """Layout of weights and activations; auto: what was measured to be faster for network, device and precision."""
    checkpoint_every: int = 0
    """Steps between checkpoints inside an epoch (0: only at the end of each epoch)."""
    log_every: int = 20
    """Steps between readings of the loss."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def check(self) -> None:
        """Raise UserError for a value outside its range, named as its option is."""
        for name in ("epochs", "batch_size", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, found {getattr(self, name)}")
        for name in ("seed", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be at least 0, found {getattr(self, name)}")
        if not self.lr > 0:
            raise UserError(f"lr must be above 0, found {self.lr}")
        if not 0 <= self.optimizer.momentum < 1:
            raise UserError(f"optimizer.momentum must be at least 0 and below 1, found {self.optimizer.momentum}")
        if self.optimizer.weight_decay < 0:
            raise UserError(f"optimizer.weight_decay must be at least 0, found {self.optimizer.weight_decay}")
        if not 0 <= self.schedule.warmup < 1:
            raise UserError(f"schedule.warmup must be at least 0 and below 1, found {self.schedule.warmup}")
        if self.schedule.every < 1:
            raise UserError(f"schedule.every must be at least 1, found {self.schedule.every}")
        if not 0 < self.schedule.factor <= 1:
            raise UserError(f"schedule.factor must be above 0 and at most 1, found {self.schedule.factor}")
