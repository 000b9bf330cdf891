"""Configuration files: YAML 1.1 without the features that no configuration needs and that can do harm.

The loader rejects aliases (a few lines of them can expand to more values than fit into memory), names defined
twice, deep nesting, numbers with hundreds of digits, and very large files. Times, dates and numbers in base 60 (as in
``1:30``) are read as strings.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from peerdistill.errors import UserError, cause, reading, shortened

_LARGEST_FILE = 256 * 1024
_DEEPEST = 12
_MOST_DIGITS = 100
_TAG = "tag:yaml.org,2002:"
_KINDS = frozenset(_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map"))


class _Loader(yaml.SafeLoader):
    """A loader that raises YAMLError only."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise ConstructorError(None, None, f"an alias (*{event.anchor}) is not allowed", event.start_mark)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConstructorError(None, None, f"more than {_DEEPEST} levels are not allowed", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None:
                raise ConstructorError(None, None, "a name must be one word", key.start_mark)
            if name in seen:
                raise ConstructorError(None, None, f"'{shortened(name)}' is defined twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if node.tag not in _KINDS:
            kind = node.tag.removeprefix(_TAG)
            raise ConstructorError(None, None, f"the tag {shortened(kind)} is not allowed", node.start_mark)
        is_number = node.tag in (f"{_TAG}int", f"{_TAG}float")
        if is_number and isinstance(node, ScalarNode) and len(node.value) > _MOST_DIGITS:
            raise ConstructorError(None, None, f"a number of {len(node.value)} digits", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # such as for !!int abc: PyYAML does not catch what its conversions raise
            kind = node.tag.removeprefix(_TAG)
            found = shortened(node.value) if isinstance(node, ScalarNode) else "a group"
            raise ConstructorError(None, None, f"{found} is not a value of type {kind}", node.start_mark) from error


def _without(*tags: str) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return the rules of PyYAML for the types of plain scalars, without some types."""
    known = yaml.SafeLoader.yaml_implicit_resolvers
    left_out = {_TAG + tag for tag in tags}
    return {first: [rule for rule in rules if rule[0] not in left_out] for first, rules in known.items()}


_Loader.yaml_implicit_resolvers = _without("timestamp", "int", "float", "merge", "value")
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


class _TextLoader(_Loader):
    """A loader that converts no plain scalar: ``no`` and ``1`` are texts."""


_TextLoader.yaml_implicit_resolvers = {}


def load_yaml(text: str, loader: type[_Loader] = _Loader) -> Any:
    """Return the value of a YAML text.

    Raises:
        YAMLError: The text is not YAML, or contains a feature that is rejected.
    """
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError:
        raise
    except Exception as error:
        raise yaml.YAMLError(cause(error)) from error


def read_options(path: Path) -> dict[Any, Any]:
    """Return the options in a configuration file.

    Raises:
        UserError: The file does not exist, cannot be read, or does not contain options.
    """
    return _read_mapping(path, "options as 'name: value'", _Loader)


def read_texts(path: Path, content: str) -> dict[str, str]:
    """Return the values in a YAML file of names and values, all as they are written in the file.

    Args:
        path: The file.
        content: What the file should contain, for error messages.

    Raises:
        UserError: The file cannot be read, or contains something else.
    """
    found = _read_mapping(path, content, _TextLoader)
    for name, value in found.items():
        if not isinstance(value, str):
            raise UserError(f"{path} must hold {content}, found {shortened(value)} for '{shortened(name)}'")
    return found


def _read_mapping(path: Path, expected: str, loader: type[_Loader]) -> dict[Any, Any]:
    try:
        content = load_yaml(_read_text(path), loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}{where} is not valid YAML: {problem}") from error
    if not isinstance(content, dict):
        found = {type(None): "nothing", str: "a text", list: "a list"}.get(type(content), shortened(content))
        raise UserError(f"{path} must hold {expected}, found {found}")
    return content


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"{path} is a folder: a configuration is a YAML file")
    if not path.exists():
        raise UserError(f"there is no configuration file {path}")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file: a configuration is a YAML file")
    with reading(f"cannot read {path}"), path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise UserError(f"{path} is too large for a configuration: more than {_LARGEST_FILE // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a UTF-8 text file (byte {error.start})") from error
