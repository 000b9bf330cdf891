"""The recipes, and which of them sets which option to what."""

from collections.abc import Mapping
from typing import Any

import yaml

from peerdistill.config.kinds import COMMANDS
from peerdistill.errors import unknown_name

_METHODS = "methods"


def recipe(name: str, method: str, command: str) -> dict[str, Any]:
    """Return a recipe's values by the names of their options; those under ``methods`` only for their method.

    Raises:
        UserError: For an unknown recipe.
    """
    files = COMMANDS[command].recipe_files()
    if name not in files:
        raise unknown_name("recipe", name, files)
    values = yaml.safe_load(files[name].read_text(encoding="utf-8"))
    values |= values.pop(_METHODS, {}).get(method, {})
    return dotted(values)


def set_by_recipes(method: str, command: str) -> dict[str, dict[str, Any]]:
    """Return the options that recipes of a command set for a method: what each of these recipes sets them to."""
    found: dict[str, dict[str, Any]] = {}
    for name in COMMANDS[command].recipe_files():
        for option, value in recipe(name, method, command).items():
            found.setdefault(option, {})[name] = value
    return found


def in_words(values: Mapping[str, Any], default: Any, command: str) -> str:
    """Return which recipes of a command set an option to what, and what it is in the others; "" for no difference.

    Args:
        values: As :func:`set_by_recipes` has them for the option.
        default: What it is where no recipe sets it.
        command: "train" or "fewshot".
    """
    found = {name: _word(values.get(name, default)) for name in COMMANDS[command].recipe_files()}
    if set(found.values()) == {_word(default)}:
        return ""
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} in every recipe of {command}"
    recipes: dict[str, list[str]] = {}
    for name, word in found.items():
        recipes.setdefault(word, []).append(name)
    return f"recipes of {command}: " + "; ".join(f"{word} in {', '.join(names)}" for word, names in recipes.items())


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def dotted(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values flat, as ``group.option``."""
    flat = {}
    for name, value in values.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
