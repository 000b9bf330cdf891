"""The recipes: named sets of defaults, and which of them sets which option to what."""

from collections.abc import Mapping
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from peerdistill.config.kinds import FINETUNE, NO_RECIPE, Kind
from peerdistill.config.typed import dotted
from peerdistill.errors import unknown_name

_METHODS = "methods"


def recipe(name: str, method: str, kind: Kind) -> dict[str, Any]:
    """Return the values of a recipe by dotted option name, with those that it sets for this method only.

    Raises:
        UserError: For an unknown recipe.
    """
    files = kind.recipe_files()
    if name not in files:
        raise unknown_name("recipe", name, (*files, NO_RECIPE))
    values = dict(_content(files[name]))
    values |= values.pop(_METHODS, {}).get(method, {})
    return dotted(values)


@cache
def _content(file: Traversable) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def set_by_recipes(method: str, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return, for every option that a recipe sets for a method, its value in each of these recipes."""
    found: dict[str, dict[str, Any]] = {}
    for name in kind.recipe_files():
        for option, value in recipe(name, method, kind).items():
            found.setdefault(option, {})[name] = value
    return found


def in_words(values: Mapping[str, Any], default: Any, kind: Kind) -> str:
    """Return a sentence with the values of an option in the recipes; "" if none differs from the default.

    Args:
        values: Values of the option by recipe, from :func:`set_by_recipes`.
        default: Value in recipes that do not set it.
        kind: Kind of run.
    """
    names = [name for name in kind.recipe_files() if name in values or name != FINETUNE]
    found = {name: _word(values.get(name, default)) for name in names}
    if set(found.values()) == {_word(default)}:
        return ""
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} in every recipe of {kind.command}"
    recipes: dict[str, list[str]] = {}
    for name, word in found.items():
        recipes.setdefault(word, []).append(name)
    values_of = (f"{word} in {', '.join(names)}" for word, names in recipes.items())
    return f"recipes of {kind.command}: {'; '.join(values_of)}"


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
