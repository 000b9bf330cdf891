"""Training options, readable without importing PyTorch."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from peerdistill.errors import UserError
from peerdistill.ranges import Count, Momentum, Range, Seed, check_ranges
from peerdistill.training import loggers

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
LearningRateScaling = Literal["none", "linear", "sqrt"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]
CudaGraphs = Literal["auto", "off"]


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer."""

    name: str = "sgd"
    """Algorithm: sgd, adam, adamw, lion, lamb or another optimizer of timm."""
    momentum: Momentum = 0.9
    """Momentum, for optimizers that have it."""
    nesterov: bool = True
    """Use Nesterov momentum in sgd."""
    weight_decay: Annotated[float, Range(least=0, most=1000)] = 5e-4
    """Weight decay."""
    decay_all: bool = True
    """Apply weight decay to all parameters; false: not to those of normalisation layers and not to biases."""
    layer_decay: Annotated[float, Range(above=0, most=1)] = 1.0
    """Factor on the learning rate for each stage below the classifier (1: all stages have the same)."""
    new_layers: Annotated[float, Range(above=0, most=1000)] = 1.0
    """Multiple of the learning rate for the classifiers and the layers of the method, which start at random."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning-rate schedule, updated after every step."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    """Cosine decay to 0, step decay by --schedule.factor, or constant."""
    every: Annotated[int, Range(least=1, most=10**9)] = 2000
    """Steps between decays of the step schedule."""
    factor: Annotated[float, Range(above=0, most=1)] = 0.5
    """Decay factor of the step schedule."""
    warmup: Annotated[float, Range(least=0, below=1)] = 0.0
    """Fraction of all steps with linear warmup from 0."""


@dataclass(frozen=True)
class GrowthConfig:
    """Peers that start later than the leader, from its weights."""

    start: Annotated[float, Range(least=0, below=1)] = 0.0
    """Fraction of all epochs in which only the leader learns, from labels alone; the other peers then start from its
    weights (0: all peers learn from the first epoch)."""
    noise: Annotated[float, Range(least=0, most=10)] = 0.1
    """Standard deviation of the noise on each weight tensor of the other peers when they start, relative to that of the
    tensor."""
    fresh: Literal["nothing", "classifier", "stage"] = "nothing"
    """What of the other peers does not start from the leader but keeps its initial weights: nothing, the classifier, or
    the last stage and the classifier."""

    def epochs_of(self, total: int) -> int:
        """Return the number of epochs in which only the leader learns: at least one if ``start`` is above 0.

        Example:
            >>> [GrowthConfig(start=start).epochs_of(10) for start in (0.0, 0.01, 0.5, 0.99)]
            [0, 1, 5, 9]
        """
        return min(max(1, round(self.start * total)), total - 1) if self.start else 0

    def check(self, epochs: int) -> None:
        """Raise UserError if the options do not fit together or not to the number of ``epochs``."""
        if not self.start:
            return
        if epochs < 2:
            raise UserError(f"growth.start {self.start} needs at least 2 epochs, found {epochs}")
        if not self.noise and self.fresh == "nothing":
            raise UserError(
                "peers with equal weights stay equal: set growth.noise above 0, or growth.fresh to classifier or stage"
            )


WHEN_PEERS_LEARN = frozenset({"growth", "distill_every"})
"""Options of the training that say when the other peers learn."""


@dataclass(frozen=True)
class TrainingConfig:
    """Training."""

    epochs: Count = 300
    """Passes over the training images."""
    batch_size: Count = 64
    """Images per batch, of all devices together."""
    lr: Annotated[float, Range(above=0, most=1000)] = 0.05
    """Initial learning rate."""
    lr_scaling: LearningRateScaling = "none"
    """Multiply the learning rate by the images per optimizer step divided by --lr_batch (linear), or by the square root
    of this ratio (sqrt)."""
    lr_batch: Count = 256
    """Images per optimizer step for which --lr is meant. Not used without --lr_scaling."""
    accumulate: Annotated[int, Range(least=1, most=10**6)] = 1
    """Batches per optimizer step; their losses are averaged."""
    distill_every: Annotated[int, Range(least=1, most=10**6)] = 1
    """All peers learn in one of this number of steps, with all terms of the method; in the others only the leader
    learns, from labels alone (1: all peers learn in every step)."""
    clip_norm: Annotated[float, Range(least=0, most=10**6)] = 0.0
    """Largest norm of the gradient of all weights together; a larger gradient is scaled down to it (0: off)."""
    ema: Annotated[float, Range(least=0, below=1)] = 0.0
    """Decay per step of the moving average (EMA) of the leader's weights, for example 0.999 (0: off)."""
    patience: Annotated[int, Range(least=0, most=10**6)] = 0
    """Stop after this number of epochs without a better validation top-1 of the leader (0: off)."""
    seed: Seed = 0
    """Seed of weights, data order, augmentation and negatives."""
    device: Device = "auto"
    """Device to train on."""
    devices: Annotated[int, Range(least=1, most=65536)] | None = None
    """Number of devices, each with a process that trains a share of every batch (default: 1, or as started by
    torchrun)."""
    sync_batchnorm: bool = False
    """Compute batch normalisation over the images of all devices (CUDA only), not of each device by itself."""
    precision: Precision = "32-true"
    """Number format of the networks' forward pass."""
    memory_format: MemoryFormat = "auto"
    """Memory format of weights and activations. auto: the faster one for network, device and precision."""
    cuda_graphs: CudaGraphs = "auto"
    """Whether steps on a GPU are CUDA graphs, which start faster. auto: where all modules are known to allow it."""
    checkpoint_every: Annotated[int, Range(least=0, most=10**9)] = 0
    """Steps between checkpoints within an epoch (0: only at the end of each epoch)."""
    log_every: Annotated[int, Range(least=1, most=10**9)] = 20
    """Steps between reports of the loss."""
    loggers: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Names of loggers beside the terminal."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    growth: GrowthConfig = field(default_factory=GrowthConfig)

    @property
    def has_leader_steps(self) -> bool:
        """Whether there are steps in which only the leader learns."""
        return self.growth.start > 0 or self.distill_every > 1

    @property
    def fewest_epochs(self) -> int:
        """The smallest number of epochs that the other options allow."""
        return 2 if self.growth.start else 1

    @property
    def scaled_lr(self) -> float:
        """Initial learning rate for the images per optimizer step, as ``lr_scaling`` says.

        "linear" is the rule of Goyal et al. (2017) for stochastic gradient descent. "sqrt" keeps the variance of an
        update (Krizhevsky, 2014), and is usual for Adam and LAMB.

        Example:
            >>> from peerdistill.training import TrainingConfig
            >>> TrainingConfig(lr=0.1, batch_size=512, accumulate=2, lr_scaling="linear", lr_batch=256).scaled_lr
            0.4
            >>> TrainingConfig(lr=0.1, batch_size=512, accumulate=2, lr_scaling="sqrt", lr_batch=256).scaled_lr
            0.2
        """
        ratio = self.batch_size * self.accumulate / self.lr_batch
        factors: dict[LearningRateScaling, float] = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}
        return self.lr * factors[self.lr_scaling]

    def check(self) -> None:
        """Raise UserError if a value is out of range; the message names the option."""
        check_ranges(self)
        loggers.check_names(self.loggers)
        self.growth.check(self.epochs)
