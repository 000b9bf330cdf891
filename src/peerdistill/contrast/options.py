"""The options of the contrast, readable without importing PyTorch."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from peerdistill.errors import unknown_name
from peerdistill.ranges import Momentum, Range, Width, check_ranges

Negatives = Literal["own", "shared", "all", "queue"]
Objective = Literal["nce", "softmax"]
Normaliser = Literal["anchor", "batch"]
Views = Literal["full", "core"]
BankDtype = Literal["float32", "bfloat16"]

LOWEST_TEMPERATURE = 0.003
"""Below it exp(1 / tau) leaves double precision."""

CosineTemperature = Annotated[float, Range(least=LOWEST_TEMPERATURE, most=10**6)]


@dataclass(frozen=True)
class RememberedOptions:
    """What every contrast with remembered embeddings can be told."""

    negatives: Negatives = "own"
    """Drawn for each anchor (own) or once for the batch (shared), all of other labels (all), or the latest (queue)."""
    count: Annotated[int, Range(least=1, most=10**8)] = 16384
    """Negatives drawn for each anchor or for the batch (S), or length of the queue; all does not use it."""
    replacement: bool = True
    """Whether own and shared may draw a sample more than once; without, the work grows with the training samples."""
    objective: Objective = "nce"
    """Noise-contrastive estimation (nce, eq. 11), or a softmax over positive and negatives (softmax, eq. 8)."""
    temperature: CosineTemperature = 0.1
    """Temperature of the cosine similarities (tau)."""
    width: Width = 128
    """Width of the embeddings (E)."""
    momentum: Momentum = 0.5
    """Share of its old row that a memory bank keeps when a sample is seen again."""
    bank_dtype: BankDtype = "float32"
    """Precision in which bank or queue are kept; bfloat16 halves their memory."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        check_ranges(self, "contrast.")
        for name, kind in _NAMED.items():
            value = getattr(self, name, None)
            if hasattr(self, name) and value not in get_args(kind):
                raise unknown_name(f"contrast.{name}", str(value), get_args(kind))


@dataclass(frozen=True)
class ContrastOptions(RememberedOptions):
    """Multi-view contrast (eq. 6 to 11).

    Example:
        >>> from peerdistill.contrast import ContrastOptions
        >>> options = ContrastOptions(negatives="queue", count=4096, temperature=0.07)
        >>> options.check()
        >>> options.views
        'full'
    """

    normaliser: Normaliser = "anchor"
    """Z of nce for each anchor as in the paper (anchor), or one for the batch as in the released code (batch)."""
    views: Views = "full"
    """All ordered pairs of peers (full), or only those with the leader (core)."""


@dataclass(frozen=True)
class TeacherContrastOptions(RememberedOptions):
    """Contrast of a student with its teacher (CRD), whose Z is that of the first batch."""

    temperature: CosineTemperature = 0.07
    """Temperature of the cosine similarities (tau)."""


_NAMED = {
    "negatives": Negatives,
    "objective": Objective,
    "bank_dtype": BankDtype,
    "normaliser": Normaliser,
    "views": Views,
}
