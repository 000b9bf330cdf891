"""The options of the contrast, readable without importing PyTorch."""

from dataclasses import dataclass
from typing import Literal, get_args

from peerdistill.errors import UserError, unknown_name

Normaliser = Literal["anchor", "batch"]
Views = Literal["full", "core"]


@dataclass(frozen=True)
class ContrastOptions:
    """Multi-view contrast (eq. 6 to 11)."""

    negatives: int = 16384
    """Negatives drawn for each anchor (S)."""
    temperature: float = 0.1
    """Temperature of the cosine similarities (tau)."""
    width: int = 128
    """Width of the embeddings (E)."""
    momentum: float = 0.5
    """Share of its old row that a memory bank keeps when a sample is seen again."""
    normaliser: Normaliser = "anchor"
    """Z for each anchor as in the paper (anchor), or one for the whole batch as in the released code (batch)."""
    views: Views = "full"
    """All ordered pairs of peers (full), or only those with the leader (core)."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        for name in ("negatives", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"contrast.{name} must be at least 1, found {getattr(self, name)}")
        if self.temperature <= 0:
            raise UserError(f"contrast.temperature must be above 0, found {self.temperature}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"contrast.momentum must be at least 0 and below 1, found {self.momentum}")
        for name, allowed in (("normaliser", get_args(Normaliser)), ("views", get_args(Views))):
            if getattr(self, name) not in allowed:
                raise unknown_name(f"contrast.{name}", getattr(self, name), allowed)
