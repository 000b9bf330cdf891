"""What differs in the configurations of runs, and which runs differ in their seed only."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peerdistill.config.config import Config, defaults_of
from peerdistill.config.kinds import KINDS
from peerdistill.runs.identity import decisive_options
from peerdistill.runs.run import Run
from peerdistill.study.plan import digest

_SEED = "seed"
_SEPARATORS = "-_. "


@dataclass(frozen=True)
class SameConfiguration:
    """Runs that differ in nothing but their seed and the places of their data.

    Attributes:
        name: What they are called: what the names of their folders have in common.
        runs: The runs.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def options(self) -> dict[str, Any]:
        """Options that affect results, by dotted name, without the seed."""
        found = decisive_options(self.runs[0].config)
        return {name: value for name, value in found.items() if name != _SEED}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Their seeds."""
        return tuple(run.config.training.seed for run in self.runs)


def by_configuration(runs: Sequence[Run]) -> tuple[SameConfiguration, ...]:
    """Return runs in groups that differ in their seed only, in the order of their first runs. Names are unique."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(_digest(run.config), []).append(run)
    groups = list(found.values())
    names = [_common_name(group) for group in groups]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return tuple(SameConfiguration(name, tuple(group)) for name, group in zip(names, groups, strict=True))


def _digest(config: Config) -> str:
    """Return the digest of a configuration; teachers whose names differ in a seed at the end count as the same."""
    source = config.teacher.teacher
    without_seed = None if source is None else re.sub(r"[-_. ]?s(eed)?[-_. ]?[0-9]+$", "", source)
    return digest(replace(config, teacher=replace(config.teacher, teacher=without_seed)))


def _common_name(runs: Sequence[Run]) -> str:
    names = [run.path.name for run in runs]
    if len(names) == 1:
        return names[0]
    common = os.path.commonprefix(names).rstrip(_SEPARATORS)  # noqa: RUF071 (characters of names, not parts of paths)
    common = common.removesuffix("-s").removesuffix("_s").removesuffix("seed").rstrip(_SEPARATORS)
    return common or runs[0].config.method


def different_options(groups: Sequence[SameConfiguration]) -> Mapping[str, tuple[Any, ...]]:
    """Return the options that differ between configurations, with the value of each; None if one has no such option.

    Options of a method that another method does not have are left out where they have their default value.
    """
    options = [group.options for group in groups]
    names = dict.fromkeys(name for of_group in options for name in of_group)
    values = {name: tuple(of_group.get(name) for of_group in options) for name in names}
    chosen = [_without_defaults(group) for group in groups]
    return {
        name: found
        for name, found in values.items()
        if any(value != found[0] for value in found)
        and (all(name in of_group for of_group in options) or any(name in of_group for of_group in chosen))
    }


def _without_defaults(group: SameConfiguration) -> dict[str, Any]:
    """Return the options that do not have their default value, that of a recipe included."""
    config = group.runs[0].config
    defaults = defaults_of(KINDS[config.kind], config.method, ())
    return {name: value for name, value in group.options.items() if value != defaults.get(name)}


def named_differences(
    groups: Sequence[SameConfiguration], differences: Mapping[str, tuple[Any, ...]]
) -> dict[str, dict[str, Any]]:
    """Return :func:`different_options` for JSON: value by name of the configuration, by option."""
    names = [group.name for group in groups]
    return {option: dict(zip(names, values, strict=True)) for option, values in differences.items()}
