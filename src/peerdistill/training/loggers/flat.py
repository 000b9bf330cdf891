"""Nested results as names with one value each, for programs that know nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def flattened(value: Any, separator: str, prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings and lists by their joined names; items of a list are numbered from 0.

    Example:
        >>> flattened({"epoch": 1, "peers": [{"top1": 70.0}, {"top1": 75.0}]}, "/")
        {'epoch': 1, 'peers/0/top1': 70.0, 'peers/1/top1': 75.0}
    """
    return dict(_leaves(value, separator, prefix))


def numbers(value: Any, prefix: str = "") -> dict[str, float]:
    """Return the numbers and truth values as floats, with names such as ``validation/leader/top1``.

    Args:
        value: Nested mappings and lists.
        prefix: The start of every name.
    """
    found = flattened(value, "/", prefix)
    return {name: float(one) for name, one in found.items() if isinstance(one, int | float)}


def _leaves(value: Any, separator: str, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        yield name, value
        return
    for key, part in parts:
        yield from _leaves(part, separator, f"{name}{separator}{key}" if name else key)
