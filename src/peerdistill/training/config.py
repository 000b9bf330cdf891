"""The options of training, readable without importing PyTorch."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from peerdistill.ranges import Count, Momentum, Range, Seed, check_ranges

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Kind."""
    momentum: Momentum = 0.9
    """Momentum of sgd."""
    nesterov: bool = True
    """Nesterov's momentum for sgd."""
    weight_decay: Annotated[float, Range(least=0, most=1000)] = 5e-4
    """Weight decay."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over time, set anew at every step."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    """From lr to 0 along half a cosine, times ``factor`` after every so many steps, or constant."""
    every: Annotated[int, Range(least=1, most=10**9)] = 2000
    """Steps after which step multiplies the rate."""
    factor: Annotated[float, Range(above=0, most=1)] = 0.5
    """What step multiplies the rate by."""
    warmup: Annotated[float, Range(least=0, below=1)] = 0.0
    """Share of all steps over which the rate first rises from 0."""


@dataclass(frozen=True)
class TrainingConfig:
    """Training."""

    epochs: Count = 300
    """Passes over the training images."""
    batch_size: Count = 64
    """Images in a batch."""
    lr: Annotated[float, Range(above=0, most=1000)] = 0.05
    """Learning rate at the start."""
    seed: Seed = 0
    """Seed of weights, order, augmentation and negatives."""
    device: Device = "auto"
    """Where to train."""
    precision: Precision = "32-true"
    """Number format of the networks' forward pass."""
    memory_format: MemoryFormat = "auto"
    """Layout of weights and activations; auto: what was measured to be faster for network, device and precision."""
    checkpoint_every: Annotated[int, Range(least=0, most=10**9)] = 0
    """Steps between checkpoints inside an epoch (0: only at the end of each epoch)."""
    log_every: Annotated[int, Range(least=1, most=10**9)] = 20
    """Steps between readings of the loss."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def check(self) -> None:
        """Raise UserError for a value outside its range, named as its option is."""
        check_ranges(self)
