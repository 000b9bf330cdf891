"""Values from a configuration file or a Python call, checked against the types of their options."""

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any

from peerdistill.errors import UserError, shortened, unknown_name
from peerdistill.ranges import range_of

TYPE_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    list: "a list in square brackets",
    dict: "a mapping",
    Mapping: "a mapping",
    type(None): "null",
}
"""What messages call the types of options."""


def option_types(group: type, prefix: str = "") -> dict[str, Any]:
    """Return the type of every option of a dataclass by its dotted name, nested groups flattened.

    Example:
        >>> from peerdistill.training.config import ScheduleConfig
        >>> list(option_types(ScheduleConfig, "schedule."))
        ['schedule.name', 'schedule.every', 'schedule.factor', 'schedule.warmup']
    """
    hints = _hints(group)
    found: dict[str, Any] = {}
    for field in fields(group):
        name, annotation = f"{prefix}{field.name}", hints[field.name]
        found |= option_types(annotation, f"{name}.") if is_group(annotation) else {name: annotation}
    return found


def flattened(values: Mapping[Any, Any], known: Iterable[str], where: str = "") -> dict[str, Any]:
    """Return nested groups of options as ``group.option``; a mapping that is one option's value stays whole.

    Args:
        values: Options, nested or already dotted; a group may also be its dataclass.
        known: Dotted names of all options.
        where: What errors say of the place, such as " in mine.yaml".

    Raises:
        UserError: A group has a value that is not a mapping.
    """
    names = set(known)
    groups = {name[: place + 1] for name in names for place, character in enumerate(name) if character == "."}
    return _flattened(values, groups, "", where)


def _flattened(values: Mapping[Any, Any], groups: set[str], prefix: str, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        group = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if f"{name}." not in groups:
            found[name] = value
        elif isinstance(group, Mapping):
            found |= _flattened(group, groups, f"{name}.", where)
        else:
            raise not_a_group(f"{name}{where}", value)
    return found


def not_a_group(name: str, value: Any) -> UserError:
    """Return the error for a group of options that has another value than a mapping."""
    found = "null" if value is None else shortened(value) or "nothing"
    return UserError(f"{name} must hold options as 'name: value', found {found}")


def dotted(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return all nested mappings as ``group.option``, whatever options there are."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted options as nested groups."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return found


def checked(
    values: Mapping[str, Any], types_of: Mapping[str, Any], where: str = "", *, what: str = "option"
) -> dict[str, Any]:
    """Return options after a check of their names, types and ranges.

    Args:
        values: Values by dotted name.
        types_of: The type of every option by dotted name.
        where: What errors say of the place, such as " in mine.yaml".
        what: What errors call an option.

    Raises:
        UserError: For an unknown name, a value of another type, or a number outside its range.
    """
    for name in values:
        if name not in types_of:
            raise unknown_name(f"{what}{where}", str(name), types_of)
    found = {name: typed(value, types_of[name], f"{name}{where}") for name, value in values.items()}
    for name, value in found.items():
        if value is not None and (stated := range_of(types_of[name])):
            stated.check(f"{name}{where}", value)
    return found


def typed(value: Any, annotation: Any, name: str) -> Any:
    """Return ``value`` as an instance of a type: an integer becomes a float, a mapping a dataclass.

    Args:
        value: A value as YAML has it, or one that already has the type.
        annotation: A plain type, ``Literal``, ``Annotated``, a union, a list, a dict, a Mapping or a dataclass.
        name: What the error calls the value.

    Raises:
        UserError: For a value of another type.

    Example:
        >>> typed(1, float, "lr")
        1.0
    """
    for kind in _alternatives(annotation):
        try:
            return _as(kind, value, name)
        except (TypeError, OverflowError):
            continue
    raise UserError(f"{name} must be {type_name(annotation)}, found {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value for an error message; a string that starts like a number has quotes, as ``"3"`` in YAML."""
    if value is None:
        return "null"
    is_like_a_number = isinstance(value, str) and value[:1].isdigit()
    return f"the string '{shortened(value)}'" if is_like_a_number else shortened(value)


def type_name(annotation: Any) -> str:
    """Return what messages call a type: ``int | None`` is "an integer or null".

    Example:
        >>> type_name(str | list[int])
        'a string or a list in square brackets'
        >>> type_name(typing.Literal["auto", "cpu", "cuda"])
        'auto, cpu or cuda'
    """
    return _joined(_alternatives(annotation))


def value_name(annotation: Any) -> str:
    """Return what a type is called where null is not worth a word: ``int | None`` is "an integer"."""
    return _joined(kind for kind in _alternatives(annotation) if kind is not type(None))


def _joined(kinds: Iterable[Any]) -> str:
    *others, last = dict.fromkeys(name for kind in kinds for name in _names(kind))
    return f"{', '.join(others)} or {last}" if others else last


def _names(kind: Any) -> list[str]:
    if typing.get_origin(kind) is typing.Literal:
        return [str(value) for value in typing.get_args(kind)]
    plain = typing.get_origin(kind) or kind
    if is_dataclass(plain):
        return ["options as 'name: value'"]
    return [TYPE_NAMES.get(plain, getattr(plain, "__name__", "-"))]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types of which a value may be, without what is annotated to them."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(annotation) for kind in _alternatives(part))
    return (type(None) if annotation is None else annotation,)


def _as(kind: Any, value: Any, name: str) -> Any:
    """Return ``value`` as one plain type, or raise TypeError."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is typing.Literal:
        matches = [part for part in parts if part == value and type(part) is type(value)]
    elif kind is float:
        matches = [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []
    elif kind is int:
        matches = [value] if isinstance(value, int) and not isinstance(value, bool) else []
    elif (origin or kind) is list:
        return _list(value, parts[0] if parts else Any, name)
    elif (origin or kind) in (dict, Mapping):
        return _dict(value, parts or (Any, Any), name)
    elif is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return build_group(kind, checked(flattened(value, option_types(kind)), option_types(kind), f" of {name}"))
    else:
        matches = [value] if isinstance(kind, type) and isinstance(value, kind) else []
    if not matches:
        raise TypeError
    return matches[0]


def _list(value: Any, kind: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError
    try:
        return [typed(one, kind, name) for one in value]
    except UserError as error:
        raise TypeError from error


def _dict(value: Any, kinds: tuple[Any, ...], name: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    try:
        return {typed(key, kinds[0], name): typed(one, kinds[1], name) for key, one in value.items()}
    except UserError as error:
        raise TypeError from error


def build_group(group: type, values: Mapping[str, Any]) -> Any:
    """Return the dataclass ``group`` with options by dotted name; the others keep their defaults."""
    given = nested(values)
    hints = _hints(group)
    parts = {name: build_group(hints[name], part) if is_group(hints[name]) else part for name, part in given.items()}
    return group(**parts)


@cache  # resolving the names takes most of the time of reading a record
def _hints(group: type) -> Mapping[str, Any]:
    return typing.get_type_hints(group, include_extras=True)


def is_group(annotation: Any) -> bool:
    """Return whether a type is a group of options: a dataclass."""
    return isinstance(annotation, type) and is_dataclass(annotation)
