"""A study as a YAML file: its keys, their types, and where the files are."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from peerdistill.config.config import DEFAULT_KIND
from peerdistill.config.kinds import KINDS, KindName
from peerdistill.config.typed import checked
from peerdistill.config.yaml_file import read_options
from peerdistill.errors import UserError, shortened, unknown_name
from peerdistill.paths import user_path
from peerdistill.ranges import SEED_BELOW, Range
from peerdistill.study.plan.cell import slug
from peerdistill.study.plan.study import LinePlot, PaperTable

_YAML = ".yaml"
_PACKAGE = "peerdistill.study.studies"
_OF_A_PART = frozenset({"seeds", "datasets", "options", "axes", "sweep"})

Options = dict[str, Any]
Axes = dict[str, dict[str, Options]]
"""Options by label by axis."""

_MOST_SEEDS = 1000
_MOST_CELLS = 10_000
_SEED = Range(least=0, below=SEED_BELOW)

DATASET = "dataset"
"""The axis whose labels are data sets."""


@dataclass(frozen=True)
class Part:
    """One product of axes.

    Attributes:
        seeds: The seeds, or their number.
        datasets: Place and options by name of the data set.
        options: Options of every run.
        axes: Options by label by axis, among them "dataset".
    """

    seeds: tuple[int, ...]
    datasets: dict[str, Options]
    options: Options
    axes: Axes


@dataclass(frozen=True)
class StudyFile:
    """The keys of a study file, with their defaults."""

    title: str | None = None
    source: str = ""
    kind: KindName = DEFAULT_KIND
    seeds: int | list[int] = 3
    data: str | None = None
    datasets: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, list[Any]] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    plain: dict[str, Any] = field(default_factory=lambda: {"method": "baseline", "peers": 1})
    equal_compute: bool = True
    baseline: dict[str, Any] | None = None
    paper: PaperTable | None = None
    analyses: list[str] = field(default_factory=list)
    figure: LinePlot | None = None
    scales: dict[str, dict[str, Any]] = field(default_factory=dict)


def study_names() -> list[str]:
    """Return the names of the studies in the package."""
    return sorted(file.stem for file in _folder().glob(f"*{_YAML}"))


def read_study(name_or_path: str) -> tuple[str, StudyFile, str]:
    """Return the name of a study, its file, and what errors say about the place, such as " in mine.yaml".

    Args:
        name_or_path: A study of the package, or a file that ends in ``.yaml`` or ``.yml``.

    Raises:
        UserError: There is no such study, or its file has an unknown key or a value of another type.
    """
    path = _path_of(name_or_path)
    where = f" in {path if path.parent != _folder() else name_or_path}"
    types = _types(StudyFile)
    values = read_options(path)
    found = StudyFile(**checked(values, types, where, what="key of a study"))
    if found.data is not None and found.datasets:
        raise UserError(f"data and datasets are both given{where}: use one of them")
    return path.name.removesuffix(path.suffix), found, where


def parts_of(file: StudyFile, where: str) -> list[Part]:
    """Return the products of a study, each with what it has in common with the others.

    Raises:
        UserError: A part has an unknown key, a value has another type, or an axis names an unknown data set.
    """
    return [_part(file, values, where) for values in (file.parts or [{}])]


def seeds_of(seeds: int | list[int], where: str = "") -> tuple[int, ...]:
    """Return the seeds that a number of seeds, or a list of them, stands for.

    Raises:
        UserError: There is none, or one is given twice.

    Example:
        >>> seeds_of(3)
        (0, 1, 2)
    """
    if seeds == [] or (isinstance(seeds, int) and not 1 <= seeds <= _MOST_SEEDS):
        raise UserError(f"seeds{where} must be a list, or a number from 1 to {_MOST_SEEDS:,}, found {shortened(seeds)}")
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    for seed in found:
        _SEED.check(f"a seed{where}", seed)
    if len(set(found)) < len(found):
        raise UserError(f"seeds{where} must differ, found {shortened(list(found))}")
    return found


def _folder() -> Path:
    return Path(str(resources.files(_PACKAGE)))


def _path_of(name_or_path: str) -> Path:
    names = study_names()
    if name_or_path in names:
        return _folder() / f"{name_or_path}{_YAML}"
    if not name_or_path.endswith((_YAML, ".yml")):
        raise unknown_name("study", name_or_path, [*names, "a file that ends in .yaml"])
    path = user_path(name_or_path, "the study")
    if not path.is_file():
        raise UserError(f"there is no study file '{path}'; the studies of the package are {', '.join(names)}")
    return path


def _types(keys: type) -> dict[str, Any]:
    hints = get_type_hints(keys)
    return {one.name: hints[one.name] for one in fields(keys)}


def _part(file: StudyFile, values: Mapping[str, Any], where: str) -> Part:
    allowed = {name: kind for name, kind in _types(StudyFile).items() if name in _OF_A_PART}
    own = checked(values, allowed, where, what="key of a part")
    datasets = _datasets(file, where) | {str(name): dict(one or {}) for name, one in own.get("datasets", {}).items()}
    every: Axes = {DATASET: {name: {} for name in datasets}}
    axes = every | _axes(file.axes, every, where) | _swept(file.sweep, where)
    axes |= _axes(own.get("axes", {}), axes | every, where) | _swept(own.get("sweep", {}), where)
    for label in axes[DATASET]:
        if label not in datasets:
            raise unknown_name(f"data set{where}", label, datasets)
    seeds = seeds_of(own.get("seeds", file.seeds), where)
    cells = math.prod(len(labels) for labels in axes.values()) * len(seeds)
    if cells > _MOST_CELLS:
        raise UserError(f"the axes and seeds{where} have {cells:,} cells, more than {_MOST_CELLS:,}")
    return Part(seeds, datasets, _merged(file.options, own.get("options", {})), axes)


def _datasets(file: StudyFile, where: str) -> dict[str, Options]:
    if file.data is not None:
        return {KINDS[file.kind].data_options.sources.title(file.data): {"data": file.data}}
    found = {str(name): dict(options or {}) for name, options in file.datasets.items()}
    if not found:
        raise UserError(f"data is missing{where}: it is {KINDS[file.kind].data}")
    folders = {slug(name): name for name in found}
    for name in found:
        if (other := folders[slug(name)]) != name:
            raise UserError(f"the data sets '{name}' and '{other}'{where} would have the same run folders: rename one")
    return found


def _axes(axes: Mapping[Any, Any], known: Axes, where: str) -> Axes:
    """Return axes; a list chooses labels of an axis that is known from above."""
    named = ((str(name), labels) for name, labels in axes.items())
    return {
        name: _chosen(name, labels, known[name], where)
        if isinstance(labels, list) and labels and name in known
        else _labels(name, labels, where)
        for name, labels in named
    }


def _chosen(axis: str, labels: list[Any], known: Mapping[str, Options], where: str) -> dict[str, Options]:
    chosen = [as_label(label) for label in labels]
    for label in chosen:
        if label not in known:
            raise unknown_name(f"{'data set' if axis == DATASET else axis}{where}", label, known)
    return {label: known[label] for label in chosen}


def _labels(axis: str, labels: Any, where: str) -> dict[str, Options]:
    if not isinstance(labels, Mapping) or not labels:
        found = shortened(labels) or "nothing"
        raise UserError(f"the axis {axis}{where} must hold options as 'label: {{option: value}}', found {found}")
    found = {}
    for label, options in labels.items():
        if not isinstance(options, Mapping | None):
            what = f"the label '{label}' of the axis {axis}{where}"
            raise UserError(f"{what} must hold options as 'option: value', found {shortened(options)}")
        found[as_label(label)] = dict(options or {})
    return found


def _swept(sweep: Mapping[str, list[Any]], where: str) -> Axes:
    for option, values in sweep.items():
        if not values:
            raise UserError(f"sweep of {option}{where} has no values")
    return {option: {as_label(value): {option: value} for value in values} for option, values in sweep.items()}


def as_label(value: Any) -> str:
    """Return a label as it is written in YAML.

    Example:
        >>> as_label(0.1), as_label("0.1"), as_label(True)
        ('0.1', '0.1', 'true')
    """
    return value if isinstance(value, str) else json.dumps(value)


def _merged(first: Options, second: Options) -> Options:
    """Return the options of both; the second win, also within a group."""
    found = dict(first)
    for name, value in second.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = _merged(found[name], value) if both else value
    return found
