"""Mean of the loss over an epoch, read from the device once per interval."""

import math
from typing import Any

import torch
from torch import Tensor

from peerdistill.errors import Failure


class Diverged(Failure):
    """The loss or a weight is not finite. The message names the step and the part of the loss."""


class LossMeter:
    """Means of the loss and its parts over an epoch.

    :meth:`add` keeps the values on the device. At each call, :meth:`read` copies the new values to the host at once,
    so no step waits for the device. A part that a step does not have counts as 0 there, so that the means of the parts
    still sum to that of the total.

    Example:
        >>> import torch
        >>> meter = LossMeter()
        >>> meter.add(torch.tensor(3.0), {"cross_entropy": torch.tensor(2.0), "ensemble": torch.tensor(1.0)})
        >>> meter.add(torch.tensor(1.0), {"cross_entropy": torch.tensor(1.0), "ensemble": torch.tensor(0.0)})
        >>> meter.read(step=2)
        {'total': 2.0, 'cross_entropy': 1.5, 'ensemble': 0.5}
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[list[str], Tensor]] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, total: Tensor, parts: dict[str, Tensor]) -> None:
        """Add the loss of one step: scalars, detached from the graph."""
        row = torch.stack([total.detach(), *(part.detach() for part in parts.values())])
        self._waiting.append((["total", *parts], row))

    def read(self, step: int) -> dict[str, float]:
        """Return the mean of each part over the epoch so far.

        Args:
            step: Number of the last step added, used in the error message.

        Raises:
            Diverged: If a value added since the last call is not finite.
        """
        if self._waiting:
            values = iter(torch.cat([row for _, row in self._waiting]).double().tolist())
            rows = [{name: next(values) for name in names} for names, _ in self._waiting]
            self._waiting.clear()
            for number, row in enumerate(rows, start=step - len(rows) + 1):
                self._check_finite(number, row)
                self._sums |= {name: self._sums.get(name, 0.0) + value for name, value in row.items()}
                self._count += 1
        return {name: value / self._count for name, value in self._sums.items()}

    def _check_finite(self, step: int, row: dict[str, float]) -> None:
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        if broken:
            parts = [name for name in broken if name != "total"] or broken
            raise Diverged(f"the loss is not finite at step {step}: {', '.join(parts)}")

    def reset(self) -> None:
        """Start a new epoch."""
        self.load_state_dict({"names": [], "sums": [], "count": 0})

    def state_dict(self) -> dict[str, Any]:
        """Return the state for resuming within an epoch. Call :meth:`read` first."""
        assert not self._waiting
        return {"names": list(self._sums), "sums": list(self._sums.values()), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state that :meth:`state_dict` returned."""
        self._waiting.clear()
        self._sums = dict(zip(state["names"], state["sums"], strict=True))
        self._count = state["count"]
