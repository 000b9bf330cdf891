"""The help of options in words: which values are allowed, and the default."""

import typing
from argparse import Action, _HelpAction

from jsonargparse import DefaultHelpFormatter

from peerdistill.config.typed import value_name
from peerdistill.ranges import range_of

_DEFAULT = "default: "


class OptionHelp(DefaultHelpFormatter):
    """Adds to the text of an option what it does not say: the values that are allowed, and the default.

    Nothing is added for flags. An option whose help names no values takes any string.
    """

    def _get_help_string(self, action: Action) -> str:
        annotation = getattr(action, "_typehint", None)
        if isinstance(action, _HelpAction):
            return super()._get_help_string(action)
        if annotation is None:
            return action.help or ""
        text, allowed = (action.help or "").rstrip(), _allowed(action, annotation)
        has_default = action.option_strings and action.default is not None and f"({_DEFAULT}" not in text
        default = f"({_DEFAULT}{_shown(action.default)})" if has_default else ""
        return " ".join(filter(None, (text, allowed and f"[{allowed}]", default)))


def _allowed(action: Action, annotation: typing.Any) -> str:
    """Return what a value must be, unless it is any string, or the words in braces beside the option say it."""
    kinds = value_name(annotation)
    named = "" if kinds == value_name(str) or str(action.metavar or "").startswith("{") else kinds
    return ", ".join(filter(None, (named, str(range_of(annotation) or ""))))


def _shown(value: typing.Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(_shown(part) for part in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
