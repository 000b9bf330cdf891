"""Methods in the user's own code."""

import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from peerdistill.errors import UserError
from peerdistill.methods.card import MethodCard
from peerdistill.user_code import user_function

_PLAIN = (bool, int, float, str, type(None))
_OF_PLAIN = (list, dict, typing.Union, types.UnionType)


def card_of(name: str) -> MethodCard:
    """Return the card of the user's function ``package.module:function``.

    If its module defines a ``MethodCard`` for the function, that is returned. The default is sharing branch or, if the
    function takes a teacher, one student.

    Raises:
        UserError: If there is no such function, or it does not have the signature of a method.
    """
    function = user_function(name, "method")
    _check_signature(name, function)
    held = vars(sys.modules[name.partition(":")[0]]).values()
    attached = [card for card in held if isinstance(card, MethodCard) and card.build is function]
    if attached:
        return attached[0]
    card = MethodCard(function)
    return MethodCard(function, sharings=("network",), cohort={"peers": 1}) if card.needs_teacher else card


def _check_signature(name: str, function: Callable[..., Any]) -> None:
    """Raise UserError if a function does not have the signature of a method."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise UserError(f"method {name}: its signature can't be read; use a plain Python function") from error
    options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    positional = [parameter for parameter in parameters if parameter not in options]
    plain = all(one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in positional)
    if not plain or len(positional) not in (2, 3):
        found = ", ".join(str(one).partition(":")[0].partition("=")[0].strip() for one in positional)
        raise UserError(
            f"method {name} must take (cohort, train_labels) or (cohort, train_labels, teacher), and its options as "
            f"keyword-only arguments after a '*', found ({found})"
        )
    for option in options:
        if option.default is option.empty:
            raise UserError(f"method {name}: option '{option.name}' needs a default value")
    for option in MethodCard(function).options:
        if not _is_readable(option.annotation):
            raise UserError(
                f"method {name}: the type of option '{option.name}' must be int, float, str, bool, Literal, a list, "
                f"dict or union of these, or a dataclass of them, found {inspect.formatannotation(option.annotation)}"
            )


def _is_readable(annotation: Any) -> bool:
    """Tell whether values of a type can be given on the command line and in a configuration file."""
    if annotation in _PLAIN or typing.get_origin(annotation) is typing.Literal:
        return True
    if isinstance(annotation, type) and is_dataclass(annotation):
        kinds = typing.get_type_hints(annotation, include_extras=True)
        return all(_is_readable(kinds[field.name]) for field in fields(annotation))
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _is_readable(parts[0])
    return annotation in _OF_PLAIN or (
        typing.get_origin(annotation) in _OF_PLAIN and all(_is_readable(part) for part in parts)
    )
