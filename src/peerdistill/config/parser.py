"""Parsers whose complaints are one sentence.

The library's parser reads the values of options that are no words as YAML, with a loader in C that a deep nesting
crashes. Values are therefore checked here, by our own reader of YAML, before the parser sees them.
"""

import json
import re
import typing
from argparse import Action
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from peerdistill.config.typed import TYPE_NAMES, not_a_group
from peerdistill.config.yaml_file import load_yaml
from peerdistill.errors import UserError, cause, shortened, unknown_name
from peerdistill.ranges import range_of, without_ranges

set_parsing_settings(docstring_parse_attribute_docstrings=True)

# What the parser's messages look like.
_EXTRA_WORDS = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"(?:Group '(?P<group>[^']+)' does not accept o|O)ption '(?P<name>[^']+)'")
_WRONG_TYPE = re.compile(r'key "([^"]+)":\s+Expected an? (.+?)\. Got value: ([^\n]*)')
_NO_GROUP = re.compile(r'key "([^"]+)": Unable to load config "(.*)"', re.DOTALL)
_OTHER_VALUE = re.compile(r'key "([^"]+)":\s')
_NO_VALUE = re.compile(r"argument ([^:]+): expected (?:one|at least one) argument")
_VALUE_OF_FLAG = re.compile(r"argument ([^:]+): ignored explicit argument (.*)", re.DOTALL)
_MISSING = re.compile(r"the following arguments are required: (.*)")

_LONGEST_NUMBER = 100
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*")
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
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
        print_config=None,
    )


def state_ranges(parser: ArgumentParser) -> None:
    """Let the help of options tell the ranges that their types state; they are checked by ``parse_words``."""
    for action in parser._actions:
        annotation = getattr(action, "_typehint", None)
        if stated := range_of(annotation):
            # The parser would show the annotation as Python writes it.
            vars(action).update(stated_range=stated, _typehint=without_ranges(annotation))
            action.help = f"{(action.help or '').rstrip('.')} [{stated}]"


def parse_words(parser: ArgumentParser, words: Sequence[str], kind: str, start: Namespace | None = None) -> Namespace:
    """Return what ``parser`` makes of ``words``.

    Args:
        parser: The parser.
        words: The words of a command line.
        kind: What an unknown option is called.
        start: Values to start from, instead of the defaults.

    Raises:
        UserError: For an unknown option, a value of the wrong type, or one outside a range that its type states.
    """
    state_ranges(parser)
    with _in_one_sentence(parser, words, kind):
        found = parser.parse_args(_checked_words(parser, words), namespace=start, defaults=start is None)
    _check_ranges(parser, found)
    return found


def option_names(parser: ArgumentParser) -> list[str]:
    """Return the names of a parser's options, without their dashes."""
    words = [word for action in parser._actions for word in action.option_strings]
    # To a list's option the parser adds a second one that ends in "+".
    return [word[2:] for word in words if word.startswith("--") and not word.endswith("+")]


@contextmanager
def _in_one_sentence(parser: ArgumentParser, words: Sequence[str], kind: str, where: str = "") -> Iterator[None]:
    try:
        yield
    except ArgumentError as error:
        raise _one_sentence(str(error), parser, words, kind, where) from error
    except UserError:
        raise
    except Exception as error:  # the parser lets through what its reader of values raises
        raise UserError(f"cannot read the options{where}: {cause(error)}") from error


def _check_ranges(
    parser: ArgumentParser, found: Namespace, names: Container[str] | None = None, where: str = ""
) -> None:
    for action in parser._actions:
        stated, value = getattr(action, "stated_range", None), found.get(action.dest)
        if stated is not None and value is not None and (names is None or action.dest in names):
            stated.check(f"{action.dest}{where}", value)


def _checked_words(parser: ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the words after a look at the values among them; groups of options come back as JSON."""
    options = parser._option_string_actions
    checked, before = [], None
    for word in words:
        name, equals, value = word.partition("=")
        if name in options and equals:
            checked.append(f"{name}={_checked_value(options[name], name[2:], value)}")
        elif before in options and word not in options:
            checked.append(_checked_value(options[before], before[2:], word))
        else:
            checked.append(word)
        before = word
    return checked


def _checked_value(action: Action, name: str, text: str) -> str:
    if _is_group(action):  # the parser would read any file of that name
        return json.dumps(_group_of(name, text))
    _check_value(action, name, text)
    return text


def _group_of(name: str, text: str) -> dict[str, Any]:
    try:
        content = load_yaml(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise not_a_group(name, text)
    return content


def _is_group(action: Action | None) -> bool:
    """Return whether an option stands for a group of options."""
    return type(action).__name__ == "_ActionConfigLoad"


def _check_value(action: Action, name: str, text: str) -> None:
    """Raise UserError for a value that the parser can't be trusted with."""
    kinds = _kinds_of(getattr(action, "_typehint", str))
    if type(None) in kinds and text.strip() == _NONE:
        return
    kinds -= {type(None)}
    for kind, pattern in ((int, _WHOLE_NUMBER), (float, _NUMBER)):
        if kinds == {kind}:
            _check_number(name, text.strip(), kind, pattern)
    if not kinds <= {str, int, float}:
        try:
            load_yaml(text)
        except yaml.YAMLError as error:
            if str not in kinds or "not allowed" in str(error):
                problem = " ".join(str(getattr(error, "problem", None) or error).split())
                raise UserError(f"{name} can't be read, found {shortened(text)}: {problem}") from error


def _check_number(name: str, text: str, kind: type, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(text) or len(text) > _LONGEST_NUMBER:
        few = f" of at most {_LONGEST_NUMBER} digits" if len(text) > _LONGEST_NUMBER else ""
        raise UserError(f"{name} must be {TYPE_NAMES[kind]}{few}, found {shortened(text) or 'nothing'}")


def _kinds_of(annotation: Any) -> set[Any]:
    """Return the types that make up an annotation."""
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


def _one_sentence(message: str, parser: ArgumentParser, words: Sequence[str], kind: str, where: str) -> UserError:
    if _EXTRA_WORDS.search(message):
        return _extra_words(message, parser, words, kind)
    if unknown := _UNKNOWN_KEY.search(message):
        name = ".".join(filter(None, unknown.group("group", "name")))
        return _unknown_option(f"--{name}", parser, kind)
    if wrong := _WRONG_TYPE.search(message):
        name, allowed, found = wrong.groups()
        return UserError(f"{name}{where} must be {_in_words(allowed)}, found {shortened(found) or 'nothing'}")
    if wrong := _NO_GROUP.search(message):
        return UserError(f"{wrong[1]}{where} must hold options as 'name: value', found {shortened(wrong[2])}")
    if wrong := _OTHER_VALUE.search(message):
        return _other_value(wrong[1], message, parser, where)
    if lone := _NO_VALUE.search(message):
        return UserError(f"{lone[1]} needs a value")
    if flag := _VALUE_OF_FLAG.search(message):
        return UserError(f"{flag[1]} takes no value, found {shortened(flag[2]).strip(chr(39))}")
    if missing := _MISSING.search(message):
        return UserError(f"missing on the command line: {missing[1].upper()}")
    return UserError(shortened(" ".join(message.split()), 300))


def _other_value(name: str, message: str, parser: ArgumentParser, where: str) -> UserError:
    """Return the error for a value of a type that is made of several, for which the parser writes many lines."""
    (action,) = [action for action in parser._actions if action.dest == name] or [None]
    words = [_in_words(str(kind)) for kind in sorted(_kinds_of(getattr(action, "_typehint", str)), key=str)]
    found = re.findall(r"(?:Got value|value): ?([^\n]*)", message)
    told = f", found {shortened(found[-1])}" if found else ""
    return UserError(f"{name}{where} must be {' or '.join(words)}{told}")


def _extra_words(message: str, parser: ArgumentParser, words: Sequence[str], kind: str) -> UserError:
    """Return the error for words that are left over: the parser joins them, so they are looked for among all."""
    told = _EXTRA_WORDS.search(message)
    left = told[1] if told else ""
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-") and name not in parser._option_string_actions and word in left:
            return _unknown_option(name, parser, kind)
    found = next((word for word in words if word and left.startswith(word)), left)
    return UserError(f"unexpected word '{shortened(found)}' on the command line")


def _unknown_option(name: str, parser: ArgumentParser, kind: str) -> UserError:
    known = [f"--{option}" for option in option_names(parser)]
    return unknown_name(kind, name, known, listed_by=f"{parser.prog} --help")


def _in_words(type_name: str) -> str:
    """Return in words what the parser calls a type."""
    if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", type_name):
        return choices[1].replace("'", "").replace(", ", " or ")
    name = re.sub(r"<class '(\w+)'>", r"\1", type_name)
    return {kind.__name__: told for kind, told in TYPE_NAMES.items()}.get(name, name)
