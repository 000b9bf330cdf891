"""Ranges of numeric options, declared in their type annotations.

    lr: Annotated[float, Range(above=0, most=1000)] = 0.05

The range is checked, shown by ``--help`` and used in error messages.
"""

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any

from peerdistill.errors import UserError, shortened


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a number. A missing bound does not limit it, but the number must be finite.

    Example:
        >>> print(Range(above=0, most=1000))
        above 0 and at most 1,000
        >>> 0 in Range(above=0, most=1000)
        False
    """

    least: int | float | None = None
    above: int | float | None = None
    most: int | float | None = None
    below: int | float | None = None

    def __contains__(self, value: int | float) -> bool:
        return (
            not (isinstance(value, float) and not math.isfinite(value))
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {bound:,}" for word, bound in bounds.items() if bound is not None) or "finite"

    def check(self, name: str, value: int | float) -> None:
        """Raise UserError if the ``value`` of the option ``name`` is out of range."""
        if value not in self:
            raise UserError(f"{name} must be {self}, found {shortened(value)}")


_FINITE = Range()
_MILLION = 10**6

SEED_BELOW = 2**32
"""Upper bound of NumPy's seeds (exclusive)."""

Seed = Annotated[int, Range(least=0, below=SEED_BELOW)]
Count = Annotated[int, Range(least=1, most=_MILLION)]
"""Number of steps, epochs, episodes or samples."""
Epochs = Annotated[int, Range(least=0, most=_MILLION)]
Weight = Annotated[float, Range(least=0, most=_MILLION)]
"""Weight of a part of the loss."""
Temperature = Annotated[float, Range(above=0, most=_MILLION)]
Momentum = Annotated[float, Range(least=0, below=1)]
Width = Annotated[int, Range(least=1, most=65536)]
"""Width of embeddings."""


def range_of(annotation: Any) -> Range | None:
    """Return the range in an annotation or in a member of a union; None if there is none."""
    for part in (annotation, *typing.get_args(annotation)):
        for metadata in getattr(part, "__metadata__", ()):
            if isinstance(metadata, Range):
                return metadata
    return None


def ranges_of(group: type, prefix: str = "") -> Iterator[tuple[str, Range]]:
    """Yield the dotted name and the range of each option in a dataclass and in nested dataclasses."""
    for name, annotation in typing.get_type_hints(group, include_extras=True).items():
        if isinstance(annotation, type) and is_dataclass(annotation):
            yield from ranges_of(annotation, f"{prefix}{name}.")
        elif found := range_of(annotation):
            yield f"{prefix}{name}", found


def check_ranges(group: Any, prefix: str = "") -> None:
    """Check all numbers in a dataclass and in nested dataclasses.

    Raises:
        UserError: If a number is out of its option's range or not finite. The message names the first such option.
    """
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    check_values(values, dict(ranges_of(type(group))), prefix)


def check_values(values: Mapping[str, Any], ranges: Mapping[str, Range], prefix: str = "") -> None:
    """Check all numbers among ``values``. The ranges of a dataclass among them are those of its annotations.

    Raises:
        UserError: As :func:`check_ranges`.
    """
    for name, value in values.items():
        if is_dataclass(value) and not isinstance(value, type):
            check_ranges(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            ranges.get(name, _FINITE).check(f"{prefix}{name}", value)
