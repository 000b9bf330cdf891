"""Scales: stated reductions of a study, one YAML file each in ``study/scales/``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from peerdistill.config.config import Config, options_of
from peerdistill.config.kinds import KINDS
from peerdistill.config.typed import checked, dotted, flattened, typed
from peerdistill.config.yaml_file import read_options
from peerdistill.errors import unknown_name
from peerdistill.runs.run import PLACES

FULL = "full"
"""The scale that reduces nothing."""

_PACKAGE = "peerdistill.study.scales"
_YAML = ".yaml"
_SEEDS = "seeds"
_PARTS = {
    "epochs": "epochs",
    "episodes": "training episodes",
    "subset.classes": "classes",
    "subset.per_class": "training images a class",
}
"""Options of which a scale takes a part, and what statements call them."""


@dataclass(frozen=True)
class ScaleRules:
    """What a scale changes.

    Attributes:
        seeds: Number of seeds; None: as the study has.
        datasets: Options by data set. A mapping in place of a value replaces certain values only:
            ``epochs: {100: 2, 200: 4}``. Options that a kind of run or a method does not have are left out, and a
            scale never makes epochs, episodes, classes or images more.
        others: Options of the other data sets.
        where: What errors say about it, such as " at scale smoke".
    """

    seeds: int | None = None
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def changes(self, dataset: str, before: Config) -> dict[str, Any]:
        """Return the options that change for a run with the configuration ``before``, by dotted name."""
        known = options_of(KINDS[before.kind], before.method)
        rules = flattened(self.datasets.get(dataset, self.others), known)
        values = _plain(before)
        found = {}
        for name, rule in rules.items():
            value = values.get(name)
            new = rule.get(value, value) if isinstance(rule, Mapping) else rule
            if name not in known or new == value:
                continue
            new = typed(new, known[name], f"{name}{self.where}")
            if name not in _PARTS or value is None or new < value:
                found[name] = new
        return found


def scale_names() -> list[str]:
    """Return the names of the scales in the package, and "full"."""
    return [FULL, *sorted(file.stem for file in _folder().glob(f"*{_YAML}"))]


def read_scale(name: str, of_study: Mapping[str, Mapping[str, Any]], where: str = "") -> ScaleRules:
    """Return a scale of the package with the changes that a study makes to it.

    Args:
        name: Its name; a study may have scales of its own.
        of_study: Options by data set by scale; ``seeds`` may stand among the data sets.
        where: What errors say about the place of the study, such as " in mine.yaml".

    Raises:
        UserError: There is no such scale.
    """
    names = scale_names()
    if name not in names and name not in of_study:
        raise unknown_name("scale", name, dict.fromkeys([*names, *of_study]))
    found = _read(name) if name in names and name != FULL else ScaleRules()
    own = typed(dict(of_study.get(name, {})), dict[str, Any], f"scale {name}{where}")
    seeds = typed(own.pop(_SEEDS, found.seeds), int | None, f"{_SEEDS} of scale {name}{where}")
    datasets = {
        label: typed(options, dict[str, Any], f"{label} of scale {name}{where}") for label, options in own.items()
    }
    return ScaleRules(seeds, found.datasets | datasets, found.others, f" at scale {name}{where}")


def statement(changes: Iterable[tuple[Config, Config]], sizes: Mapping[str, int | None]) -> str:
    """Return in words what a scale changes, from the configurations of runs before and after.

    Args:
        changes: Pairs of configurations.
        sizes: Size of the whole data by option, such as ``{"subset.classes": 100}``.
    """
    found: dict[str, dict[tuple[Any, Any], None]] = {}
    for before, after in changes:
        old, new = _plain(before), _plain(after)
        for name in new:
            if name in old and old[name] != new[name]:
                found.setdefault(name, {})[old[name], new[name]] = None
    names = [name for name in _PARTS if name in found] + sorted(found.keys() - _PARTS.keys())
    return ", ".join(_phrase(name, list(found[name]), sizes.get(name)) for name in names)


def _phrase(name: str, pairs: list[tuple[Any, Any]], whole: int | None) -> str:
    """Return in words that values of an option are replaced by others: (old, new)."""
    if name not in _PARTS:
        return " and ".join(f"{name} {new} instead of {old}" for old, new in pairs)
    pairs = sorted(pairs, key=lambda pair: pair[0] or 0)
    of = [f"{new:,} of {old or whole:,}" if old or whole else f"{new:,}" for old, new in pairs]
    *first, last = dict.fromkeys(of)
    return f"{', '.join(first)} and {last} {_PARTS[name]}" if first else f"{last} {_PARTS[name]}"


def _read(name: str) -> ScaleRules:
    path = _folder() / f"{name}{_YAML}"
    hints = get_type_hints(ScaleRules)
    types = {one.name: hints[one.name] for one in fields(ScaleRules) if one.name != "where"}
    return ScaleRules(**checked(read_options(path), types, f" in {path}", what="key of a scale"))


def _folder() -> Path:
    return Path(str(resources.files(_PACKAGE)))


def _plain(config: Config) -> dict[str, Any]:
    """Return the options by dotted name, without places; values that are not numbers or texts as text."""
    return {
        name: value if isinstance(value, int | float | str | None) else str(value)
        for name, value in dotted(config.as_dict()).items()
        if name not in PLACES
    }
