"""Parsers whose complaints are one sentence."""

import re
import shlex
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from peerdistill.errors import UserError, unknown_name

set_parsing_settings(docstring_parse_attribute_docstrings=True)

# What the parser's messages look like.
_EXTRA_WORDS = re.compile(r"unrecognized arguments: (.*)")
_UNKNOWN_KEY = re.compile(r"(?:Group '(?P<group>[^']+)' does not accept o|O)ption '(?P<name>[^']+)'")
_WRONG_TYPE = re.compile(r'key "([^"]+)":\s+Expected an? (.+?)\. Got value: ([^\n]*)')
_NO_GROUP = re.compile(r'key "([^"]+)": Unable to load config "(.*)"')
_NO_VALUE = re.compile(r"argument ([^:]+): expected one argument")
_VALUE_OF_FLAG = re.compile(r"argument ([^:]+): ignored explicit argument '(.*)'")
_MISSING = re.compile(r"the following arguments are required: (.*)")

_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}


def make_parser(command: str, usage: str, description: str) -> ArgumentParser:
    """Return an empty parser of ``peerdistill COMMAND``."""
    return ArgumentParser(
        prog=f"peerdistill {command}",
        usage=f"peerdistill {command} {usage}",
        description=description,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
    )


def parse_words(parser: ArgumentParser, words: Sequence[str], kind: str) -> Namespace:
    """Return what ``parser`` makes of ``words``.

    Raises:
        UserError: For an unknown option, called ``kind`` then, or a value of the wrong type.
    """
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        raise _one_sentence(str(error), option_names(parser), kind) from error


def option_names(parser: ArgumentParser) -> list[str]:
    """Return the names of a parser's options, without their dashes."""
    words = [word for action in parser._actions for word in action.option_strings]
    # The parser adds `--print_config` for itself, and to a list's option a second one that ends in "+".
    own = re.compile(r"--print_.*|.*\+")
    return [word[2:] for word in words if word.startswith("--") and not own.fullmatch(word)]


def _one_sentence(message: str, options: Sequence[str], kind: str) -> UserError:
    if extra := _EXTRA_WORDS.search(message):
        return _extra_words(shlex.split(extra[1]), options, kind)
    if unknown := _UNKNOWN_KEY.search(message):
        name = ".".join(filter(None, unknown.group("group", "name")))
        return unknown_name(kind, f"--{name}", [f"--{option}" for option in options])
    if wrong := _WRONG_TYPE.search(message):
        name, allowed, found = wrong.groups()
        return UserError(f"{name} must be {_in_words(allowed)}, found {found or 'nothing'}")
    if wrong := _NO_GROUP.search(message):
        return UserError(f"{wrong[1]} must hold options as 'name: value', found {wrong[2]}")
    if lone := _NO_VALUE.search(message):
        return UserError(f"{lone[1]} needs a value")
    if flag := _VALUE_OF_FLAG.search(message):
        return UserError(f"{flag[1]} takes no value, found {flag[2]}")
    if missing := _MISSING.search(message):
        return UserError(f"missing on the command line: {missing[1].upper()}")
    return UserError(" ".join(message.split()))


def _extra_words(words: Sequence[str], options: Sequence[str], kind: str) -> UserError:
    for word in words:
        if word.startswith("-"):
            return unknown_name(kind, word.partition("=")[0], [f"--{option}" for option in options])
    return UserError(f"unexpected word '{words[0]}' on the command line")


def _in_words(type_name: str) -> str:
    """Return in words what the parser calls a type."""
    if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", type_name):
        return choices[1].replace("'", "").replace(", ", " or ")
    name = re.sub(r"<class '(\w+)'>", r"\1", type_name)
    return _KINDS.get(name, name)
