"""The options of the contrast, readable without importing PyTorch."""

from dataclasses import dataclass
from typing import Literal, get_args

from peerdistill.errors import UserError, unknown_name

Negatives = Literal["own", "shared", "all", "queue"]
Objective = Literal["nce", "softmax"]
Normaliser = Literal["anchor", "batch"]
Views = Literal["full", "core"]
BankDtype = Literal["float32", "bfloat16"]

LOWEST_TEMPERATURE = 0.003
"""Below it exp(1 / tau) leaves double precision."""


@dataclass(frozen=True)
class RememberedOptions:
    """What every contrast with remembered embeddings can be told."""

    negatives: Negatives = "own"
    """Drawn for each anchor (own) or once for the batch (shared), all of other labels (all), or the latest (queue)."""
    count: int = 16384
    """Negatives drawn for each anchor or for the batch (S), or length of the queue; all does not use it."""
    replacement: bool = True
    """Whether own and shared may draw a sample more than once; without, the work grows with the training samples."""
    objective: Objective = "nce"
    """Noise-contrastive estimation (nce, eq. 11), or a softmax over positive and negatives (softmax, eq. 8)."""
    temperature: float = 0.1
    """Temperature of the cosine similarities (tau)."""
    width: int = 128
    """Width of the embeddings (E)."""
    momentum: float = 0.5
    """Share of its old row that a memory bank keeps when a sample is seen again."""
    bank_dtype: BankDtype = "float32"
    """Precision in which bank or queue are kept; bfloat16 halves their memory."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        for name in ("count", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"contrast.{name} must be at least 1, found {getattr(self, name)}")
        if self.temperature < LOWEST_TEMPERATURE:
            raise UserError(f"contrast.temperature must be at least {LOWEST_TEMPERATURE}, found {self.temperature}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"contrast.momentum must be at least 0 and below 1, found {self.momentum}")
        for name, kind in _NAMED.items():
            value = getattr(self, name, None)
            if hasattr(self, name) and value not in get_args(kind):
                raise unknown_name(f"contrast.{name}", str(value), get_args(kind))


@dataclass(frozen=True)
class ContrastOptions(RememberedOptions):
    """Multi-view contrast (eq. 6 to 11)."""

    normaliser: Normaliser = "anchor"
    """Z of nce for each anchor as in the paper (anchor), or one for the batch as in the released code (batch)."""
    views: Views = "full"
    """All ordered pairs of peers (full), or only those with the leader (core)."""


@dataclass(frozen=True)
class TeacherContrastOptions(RememberedOptions):
    """Contrast of a student with its teacher (CRD), whose Z is that of the first batch."""

    temperature: float = 0.07
    """Temperature of the cosine similarities (tau)."""


_NAMED = {
    "negatives": Negatives,
    "objective": Objective,
    "bank_dtype": BankDtype,
    "normaliser": Normaliser,
    "views": Views,
}
