"""The range of a numeric option, stated where the option is declared.

    lr: Annotated[float, Range(above=0, most=1000)] = 0.05

The same statement is checked, shown by ``--help`` and told in errors.
"""

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any

from peerdistill.errors import UserError, shortened


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a number; those that are left out do not exist. A number is always finite."""

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
        """Raise UserError where ``value`` of the option ``name`` is outside."""
        if value not in self:
            raise UserError(f"{name} must be {self}, found {shortened(value)}")


_FINITE = Range()
_MILLION = 10**6

SEED_BELOW = 2**32
"""What NumPy takes as a seed."""

Seed = Annotated[int, Range(least=0, below=SEED_BELOW)]
Count = Annotated[int, Range(least=1, most=_MILLION)]
"""Of steps, epochs, episodes, samples: what is counted one by one."""
Epochs = Annotated[int, Range(least=0, most=_MILLION)]
Weight = Annotated[float, Range(least=0, most=_MILLION)]
"""Of a part of a loss."""
Temperature = Annotated[float, Range(above=0, most=_MILLION)]
Momentum = Annotated[float, Range(least=0, below=1)]
Width = Annotated[int, Range(least=1, most=65536)]
"""Of embeddings."""


def range_of(annotation: Any) -> Range | None:
    """Return the range that an annotation states, also as one part of a union."""
    for part in (annotation, *typing.get_args(annotation)):
        for stated in getattr(part, "__metadata__", ()):
            if isinstance(stated, Range):
                return stated
    return None


def without_ranges(annotation: Any) -> Any:
    """Return an annotation of a number, or of one that may be left out, without its range."""
    if hasattr(annotation, "__metadata__"):
        return annotation.__origin__
    parts = tuple(without_ranges(part) for part in typing.get_args(annotation))
    return typing.Union[parts] if parts else annotation  # noqa: UP007 (of a tuple)


def ranges_of(group: type, prefix: str = "") -> Iterator[tuple[str, Range]]:
    """Yield dotted name and range of each option of a dataclass and of those inside it."""
    for name, annotation in typing.get_type_hints(group, include_extras=True).items():
        if isinstance(annotation, type) and is_dataclass(annotation):
            yield from ranges_of(annotation, f"{prefix}{name}.")
        elif stated := range_of(annotation):
            yield f"{prefix}{name}", stated


def check_ranges(group: Any, prefix: str = "") -> None:
    """Check every number in a dataclass and in those inside it.

    Raises:
        UserError: For the first one that is outside the range of its option, or not finite.
    """
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    check_values(values, dict(ranges_of(type(group))), prefix)


def check_values(values: Mapping[str, Any], ranges: Mapping[str, Range], prefix: str = "") -> None:
    """Check the numbers among values; a dataclass among them brings its own ranges.

    Raises:
        UserError: As :func:`check_ranges`.
    """
    for name, value in values.items():
        if is_dataclass(value) and not isinstance(value, type):
            check_ranges(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            ranges.get(name, _FINITE).check(f"{prefix}{name}", value)
