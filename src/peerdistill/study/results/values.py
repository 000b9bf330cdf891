"""Values of tables, and how people read them."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class OverSeeds:
    """Mean and sample standard deviation over seeds.

    Attributes:
        mean: Mean.
        deviation: Sample standard deviation; None for one seed.
        seeds: Number of seeds.

    Example:
        >>> str(OverSeeds.of([23.0, 24.0, 25.0])), str(OverSeeds.of([23.0]))
        ('24.00 ± 1.00', '23.00')
    """

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "OverSeeds | None":
        """Return mean and deviation of the values that are not None; None if there are none."""
        found = [value for value in values if value is not None]
        if not found:
            return None
        return cls(fmean(found), float(stdev(found)) if len(found) > 1 else None, len(found))

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


@dataclass(frozen=True)
class Amount:
    """The mean of an amount such as seconds. It is written with three digits, or as a whole number.

    Example:
        >>> str(Amount(0.1234)), str(Amount(12345.6))
        ('0.123', '12,346')
    """

    mean: float

    def __str__(self) -> str:
        return f"{self.mean:,.0f}" if abs(self.mean) >= 100 else f"{self.mean:.3g}"


@dataclass(frozen=True)
class PaperFigure:
    """A published figure.

    Attributes:
        mean: The figure.
        deviation: What the paper writes after ±; None: nothing.
    """

    mean: float
    deviation: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


@dataclass(frozen=True)
class Difference:
    """A difference in points, written with its sign."""

    points: float

    def __str__(self) -> str:
        return f"{self.points:+.2f}"


def text(value: object) -> str:
    """Return a value as people read it.

    Example:
        >>> text(12345), text(1.5), text(None), text(Difference(0.5))
        ('12,345', '1.50', '-', '+0.50')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
