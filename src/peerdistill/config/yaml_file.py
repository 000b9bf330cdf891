"""Configuration files: YAML 1.1, without what no configuration needs and what can do harm.

Refused are aliases (a few lines of them stand for more values than there is memory), a name that is given twice, more
than a few levels, numbers of hundreds of digits, and files that no editor would be given. Times, dates and numbers in
the base 60 (``1:30``) are read as words.
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
    """A loader that raises nothing but YAMLError."""

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
                raise ConstructorError(None, None, f"'{shortened(name)}' is given twice", key.start_mark)
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
        except Exception as error:  # !!int abc and its like: PyYAML lets through whatever its conversions raise
            kind = node.tag.removeprefix(_TAG)
            found = shortened(node.value) if isinstance(node, ScalarNode) else "a group"
            raise ConstructorError(None, None, f"{found} is no {kind}", node.start_mark) from error


def _without(*tags: str) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return PyYAML's rules of what a plain word stands for, without some kinds."""
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


def load_yaml(text: str) -> Any:
    """Return what a text stands for.

    Raises:
        YAMLError: It is no YAML, or holds what is refused.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise
    except Exception as error:
        raise yaml.YAMLError(cause(error)) from error


def read_options(path: Path) -> dict[Any, Any]:
    """Return the options in a configuration file.

    Raises:
        UserError: There is no such file, it can't be read, or it does not hold options.
    """
    try:
        content = load_yaml(_read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}{where} is no valid YAML: {problem}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise UserError(f"{path} must hold options as 'name: value', found {found}")
    return content


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"{path} is a folder: a configuration is a YAML file")
    if not path.exists():
        raise UserError(f"there is no configuration file {path}")
    if not path.is_file():
        raise UserError(f"{path} is no regular file: a configuration is a YAML file")
    with reading(f"cannot read {path}"), path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise UserError(f"{path} is no configuration: it has more than {_LARGEST_FILE // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file in UTF-8 (byte {error.start})") from error
