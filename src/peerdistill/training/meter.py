"""The loss over an epoch, read from the device once an interval."""

import math
from typing import Any

import torch
from torch import Tensor

from peerdistill.errors import Failure


class Diverged(Failure):
    """A loss that is not finite. The message names the step and the part."""


class LossMeter:
    """Means of the loss parts over an epoch.

    A step only keeps its parts on the device. :meth:`read` brings all that has come since the last reading to the
    host at once, so a step never waits for the device.
    """

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []
        self._names: list[str] = []
        self._sums: list[float] = []
        self._count = 0

    def add(self, total: Tensor, parts: dict[str, Tensor]) -> None:
        """Take the loss of one step."""
        self._names = ["total", *parts]
        self._waiting.append(torch.stack([total.detach(), *(part.detach() for part in parts.values())]))

    def read(self, step: int) -> dict[str, float]:
        """Return the mean of each part over the epoch so far.

        Args:
            step: Number of the last step added, for the message of an error.

        Raises:
            Diverged: Where a part of any step since the last reading is not finite.
        """
        if self._waiting:
            rows = torch.stack(self._waiting).double().tolist()
            self._waiting.clear()
            for number, row in enumerate(rows, start=step - len(rows) + 1):
                self._check_finite(number, row)
                self._sums = [a + b for a, b in zip(self._sums or [0.0] * len(row), row, strict=True)]
                self._count += 1
        return {name: value / self._count for name, value in zip(self._names, self._sums, strict=True)}

    def _check_finite(self, step: int, row: list[float]) -> None:
        broken = [name for name, value in zip(self._names, row, strict=True) if not math.isfinite(value)]
        if broken:
            parts = [name for name in broken if name != "total"] or broken
            raise Diverged(f"the loss is not finite at step {step}: {', '.join(parts)}")

    def reset(self) -> None:
        """Start a new epoch."""
        self.load_state_dict({"names": [], "sums": [], "count": 0})

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed epoch needs; call :meth:`read` first."""
        assert not self._waiting
        return {"names": self._names, "sums": self._sums, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self._waiting.clear()
        self._names, self._sums, self._count = state["names"], state["sums"], state["count"]
