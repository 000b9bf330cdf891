"""Options of the contrast. Importing this module does not import PyTorch."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from peerdistill.errors import unknown_name
from peerdistill.ranges import Momentum, Range, Width, check_ranges

Negatives = Literal["own", "shared", "all", "queue"]
Objective = Literal["nce", "softmax"]
Normaliser = Literal["anchor", "batch"]
Views = Literal["full", "core"]
BankDtype = Literal["float32", "bfloat16"]
Sharding = Literal["auto", "always", "never"]

LOWEST_TEMPERATURE = 0.003
"""The lowest temperature at which exp(1 / tau) does not overflow float64."""

FLOAT32_TEMPERATURE = 0.025
"""The lowest temperature at which exp(1 / tau) leaves float32 enough range for sums and quotients. Below, scores are
computed in float64."""

SHARDED_ABOVE = 8 * 2**30
"""Size in bytes of the memory banks of all peers together above which "auto" divides them among the devices."""

CosineTemperature = Annotated[float, Range(least=LOWEST_TEMPERATURE, most=10**6)]


@dataclass(frozen=True)
class BankContrastOptions:
    """Options of every contrast with past embeddings."""

    negatives: Negatives = "own"
    """Source of negatives: draws per anchor (own) or batch (shared), all other classes (all), or a queue (queue)."""
    count: Annotated[int, Range(least=1, most=10**8)] = 16384
    """Number of negatives (S) per anchor or per batch, or length of the queue. Not used with all."""
    replacement: bool = True
    """Whether own and shared draw with replacement. Without it, the cost of drawing grows with the training set."""
    objective: Objective = "nce"
    """Noise-contrastive estimation (nce, eq. 11), or softmax over the positive and the negatives (softmax, eq. 8)."""
    temperature: CosineTemperature = 0.1
    """Temperature of the cosine similarities (tau)."""
    width: Width = 128
    """Width of the embeddings (E)."""
    momentum: Momentum = 0.5
    """Weight of the old row when a memory bank row is updated."""
    bank_dtype: BankDtype = "float32"
    """Data type of the bank or the queue. bfloat16 halves its memory."""
    shard: Sharding = "auto"
    """Whether each of several devices holds a part of the memory banks instead of a copy (auto: banks above 8 GiB)."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        check_ranges(self, "contrast.")
        for name, kind in _NAMED.items():
            value = getattr(self, name, None)
            if hasattr(self, name) and value not in get_args(kind):
                raise unknown_name(f"contrast.{name}", str(value), get_args(kind))


@dataclass(frozen=True)
class ContrastOptions(BankContrastOptions):
    """Options of the multi-view contrast (eq. 6 to 11).

    Example:
        >>> from peerdistill.contrast import ContrastOptions
        >>> options = ContrastOptions(negatives="queue", count=4096, temperature=0.07)
        >>> options.check()
        >>> options.views
        'full'
    """

    normaliser: Normaliser = "anchor"
    """Scope of the normaliser Z of nce: one per anchor (anchor, the paper) or per batch (batch, the released code)."""
    views: Views = "full"
    """All ordered pairs of peers (full), or only those with the leader (core)."""


@dataclass(frozen=True)
class TeacherContrastOptions(BankContrastOptions):
    """Options of the contrast between a student and its teacher (CRD). Z is that of the first batch."""

    temperature: CosineTemperature = 0.07
    """Temperature of the cosine similarities (tau)."""


_NAMED = {
    "negatives": Negatives,
    "objective": Objective,
    "bank_dtype": BankDtype,
    "shard": Sharding,
    "normaliser": Normaliser,
    "views": Views,
}
