"""Parsers whose complaints are one sentence."""

import re
import shlex
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from peerdistill.errors import UserError, unknown_name

set_parsing_settings(docstring_parse_attribute_docstrings=True)

_UNKNOWN_KEY = re.compile(r"(?:does not accept|not expected|No action for|Option)[^'\"]*['\"]([^'\"]+)['\"]")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def make_parser(command: str, usage: str, description: str) -> ArgumentParser:
    """Return an empty parser of ``peerdistill COMMAND``."""
    return ArgumentParser(
        prog=f"peerdistill {command}",
        usage=f"peerdistill {command} {usage}",
        description=description,
        exit_on_error=False,
        default_env=False,
    )


def parse_words(parser: ArgumentParser, words: Sequence[str], kind: str) -> Namespace:
    """Return what ``parser`` makes of ``words``.

    Raises:
        UserError: For an unknown option, called ``kind`` then, or a value of the wrong type.
    """
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        options = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
        raise _one_sentence(str(error), options, kind) from error


def _one_sentence(message: str, options: list[str], kind: str) -> UserError:
    if unknown := re.search(r"unrecognized arguments: (.*)", message):
        words = shlex.split(unknown[1])
        first = next((word for word in words if word.startswith("--")), words[0])
        return unknown_name(kind, first.partition("=")[0], options)
    if unknown := re.search(
        r"(?:does not accept|not expected|No action for|Option)[^'\"]*['\"]([^'\"]+)['\"]", message
    ):
        return unknown_name(kind, f"--{unknown[1]}", options)
    key = re.search(r'[Kk]ey "([^"]+)"', message)
    found = re.search(r"(?:Got value|Given value[^:]*): ([^\n]*)", message)
    expected = re.search(r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[(.*?)\]|([^.\n]+))", message)
    if key and found and expected:
        name, choices, other = expected.groups()
        allowed = choices.replace("'", "").replace(", ", " or ") if choices else _KINDS.get(name, name or other)
        return UserError(f"{key[1]} must be {allowed}, found {found[1]}")
    return UserError(" ".join(message.split()))
