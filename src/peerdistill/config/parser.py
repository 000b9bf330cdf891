"""Parsers whose error messages are one sentence.

The parser of the library reads the values of some options as YAML, with a loader in C that deep nesting crashes. Values
are therefore checked here with our own YAML reader before the parser receives them.
"""

import json
import re
import typing
from argparse import Action
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from peerdistill.config.help import OptionHelp
from peerdistill.config.typed import TYPE_NAMES, not_a_group, type_name
from peerdistill.config.yaml_file import load_yaml
from peerdistill.errors import UserError, cause, shortened, unknown_name
from peerdistill.ranges import range_of

set_parsing_settings(docstring_parse_attribute_docstrings=True)

# Messages of the parser.
_EXTRA_WORDS = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"(?:Group '(?P<group>[^']+)' does not accept o|O)ption '(?P<name>[^']+)'")
_NO_GROUP = re.compile(r'key "([^"]+)": Unable to load config "(.*)"', re.DOTALL)
_WRONG_VALUE = re.compile(r'key "([^"]+)":\s')
_NO_VALUE = re.compile(r"argument ([^:]+): expected (?:one|at least one) argument")
_VALUE_OF_FLAG = re.compile(r"argument ([^:]+): ignored explicit argument (.*)", re.DOTALL)
_MISSING = re.compile(r"the following arguments are required: (.*)")

_NEGATED = re.compile(r"--no[-_](.+)")

_MOST_DIGITS = 100
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_NUMBER = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.?(?:inf|Inf|INF)|\.?(?:nan|NaN|NAN)"
)
_NONE = "null"


def make_parser(command: str, usage: str, description: str) -> ArgumentParser:
    """Return an empty parser of ``peerdistill COMMAND``."""
    return ArgumentParser(
        prog=f"peerdistill {command}",
        usage=f"peerdistill {command} {usage}",
        description=description,
        formatter_class=OptionHelp,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
        print_config=None,
    )


def describe_groups(parser: ArgumentParser) -> None:
    """Say in the help what a group of options takes; the parser would say that it is a file."""
    for action in parser._actions:
        if _is_group(action):
            action.help, action.metavar = f"Options below as {{name: value, ...}}, without '{action.dest}.'.", "OPTIONS"


def parse_words(parser: ArgumentParser, words: Sequence[str], kind: str, start: Namespace | None = None) -> Namespace:
    """Return the options that the words of a command line give.

    Args:
        parser: The parser.
        words: The words of a command line.
        kind: What the error for an unknown option calls it.
        start: Values to start from, instead of the defaults.

    Raises:
        UserError: For an unknown option, a value of the wrong type, or a number outside the range of its option.
    """
    with _in_one_sentence(parser, words, kind):
        found = parser.parse_args(_checked_words(parser, words), namespace=start, defaults=start is None)
    for action in parser._actions:
        stated, value = range_of(getattr(action, "_typehint", None)), found.get(action.dest)
        if stated is not None and value is not None:
            stated.check(action.dest, value)
    return found


def option_names(parser: ArgumentParser) -> list[str]:
    """Return the names of the options of a parser, without their dashes."""
    words = [word for action in parser._actions for word in action.option_strings]
    # For a list, the parser adds a second option that ends in "+".
    return [word[2:] for word in words if word.startswith("--") and not word.endswith("+")]


@contextmanager
def _in_one_sentence(parser: ArgumentParser, words: Sequence[str], kind: str) -> Iterator[None]:
    try:
        yield
    except ArgumentError as error:
        raise _one_sentence(str(error), parser, words, kind) from error
    except UserError:
        raise
    except Exception as error:  # the parser does not catch what its reader of values raises
        raise UserError(f"cannot read the options: {cause(error)}") from error


def _checked_words(parser: ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the words after a check of the values among them; groups of options are replaced by JSON."""
    options = parser._option_string_actions
    checked, before = [], None
    for word in words:
        name, equals, value = word.partition("=")
        if name in options and equals:
            checked.append(f"{name}={_checked_value(options[name], name[2:], value, options)}")
        elif before in options and word not in options:
            checked.append(_checked_value(options[before], before[2:], word, options))
        else:
            checked.append(word)
        before = word
    return checked


def _checked_value(action: Action, name: str, text: str, options: Collection[str]) -> str:
    if _is_group(action):  # the parser would read a file of that name
        return json.dumps(_group_of(name, text, options))
    _check_value(action, name, text)
    return text


def _group_of(name: str, text: str, options: Collection[str]) -> dict[str, Any]:
    try:
        content = load_yaml(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        is_word = text.isidentifier() and f"--{name}.name" in options
        instead = f" (choose one with --{name}.name {shortened(text)})" if is_word else ""
        raise UserError(f"{not_a_group(name, text)}{instead}")
    return content


def _is_group(action: Action) -> bool:
    return type(action).__name__ == "_ActionConfigLoad"


def _check_value(action: Action, name: str, text: str) -> None:
    """Raise UserError for a value that must not reach the parser."""
    kinds = _kinds_of(getattr(action, "_typehint", str))
    if type(None) in kinds and text.strip() == _NONE:
        return
    kinds -= {type(None)}
    for kind, pattern in ((int, _INTEGER), (float, _NUMBER)):
        if kinds == {kind}:
            _check_number(name, text.strip(), kind, pattern)
    if not kinds <= {str, int, float}:
        try:
            load_yaml(text)
        except yaml.YAMLError as error:
            if str not in kinds or "not allowed" in str(error):
                problem = " ".join(str(getattr(error, "problem", None) or error).split())
                raise UserError(f"{name} cannot be read, found {shortened(text)}: {problem}") from error


def _check_number(name: str, text: str, kind: type, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(text) or len(text) > _MOST_DIGITS:
        limit = f" of at most {_MOST_DIGITS} digits" if len(text) > _MOST_DIGITS else ""
        raise UserError(f"{name} must be {TYPE_NAMES[kind]}{limit}, found {shortened(text) or 'nothing'}")


def _kinds_of(annotation: Any) -> set[Any]:
    """Return the plain types of which a value may be."""
    if isinstance(annotation, type) or annotation is None:
        return {annotation}
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kinds_of(parts[0])
    if origin is typing.Literal:
        return {type(part) for part in parts}
    if origin in (list, dict):
        return {origin}
    return set().union(*(_kinds_of(part) for part in parts))


def _one_sentence(message: str, parser: ArgumentParser, words: Sequence[str], kind: str) -> UserError:
    if _EXTRA_WORDS.search(message):
        return _extra_words(message, parser, words, kind)
    if unknown := _UNKNOWN_KEY.search(message):
        name = ".".join(filter(None, unknown.group("group", "name")))
        return _unknown_option(f"--{name}", parser, kind)
    if wrong := _NO_GROUP.search(message):
        return not_a_group(wrong[1], wrong[2])
    if wrong := _WRONG_VALUE.search(message):
        return _wrong_value(wrong[1], message, parser)
    if missing_value := _NO_VALUE.search(message):
        return UserError(f"{missing_value[1]} needs a value")
    if flag := _VALUE_OF_FLAG.search(message):
        return UserError(f"{flag[1]} takes no value, found {shortened(flag[2]).strip(chr(39))}")
    if missing := _MISSING.search(message):
        return UserError(f"missing on the command line: {missing[1].upper()}")
    return UserError(shortened(" ".join(message.split()), 300))


def _wrong_value(name: str, message: str, parser: ArgumentParser) -> UserError:
    """Return the error for a value of the wrong type; the parser would print several lines."""
    (action,) = [action for action in parser._actions if action.dest == name] or [None]
    values = re.findall(r"(?:Got value|value): ?([^\n]*)", message)
    found = f", found {shortened(values[-1]) or 'nothing'}" if values else ""
    return UserError(f"{name} must be {type_name(getattr(action, '_typehint', str))}{found}")


def _extra_words(message: str, parser: ArgumentParser, words: Sequence[str], kind: str) -> UserError:
    """Return the error for unexpected words. The parser joins them, so that they must be searched among all words."""
    unexpected = _EXTRA_WORDS.search(message)
    joined = unexpected[1] if unexpected else ""
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-") and name not in parser._option_string_actions and word in joined:
            return _unknown_option(name, parser, kind)
    found = next((word for word in words if word and joined.startswith(word)), joined)
    first = parser.usage.split()[2] if parser.usage else ""
    order = f": {first} comes first, then options as --name value" if first.isupper() else ""
    return UserError(f"unexpected word '{shortened(found)}' on the command line{order}")


def _unknown_option(name: str, parser: ArgumentParser, kind: str) -> UserError:
    if (negated := _NEGATED.match(name)) and _is_boolean(parser, f"--{negated[1]}"):
        return UserError(f"unknown {kind} '{name}': write --{negated[1]} false")
    known = [f"--{option}" for option in option_names(parser)]
    return unknown_name(kind, name, known, listed_by=f"{parser.prog} --help")


def _is_boolean(parser: ArgumentParser, name: str) -> bool:
    action = parser._option_string_actions.get(name)
    return action is not None and getattr(action, "_typehint", None) is bool
