"""From a study file and a scale to a study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from peerdistill.errors import UserError, unknown_name
from peerdistill.study.plan.cell import Cell, slug
from peerdistill.study.plan.cells import CellMaker
from peerdistill.study.plan.plain import shared_options
from peerdistill.study.plan.scales import FULL, ScaleRules, read_scale
from peerdistill.study.plan.study import Scale, Study
from peerdistill.study.plan.study_file import DATASET, Part, StudyFile, as_label, parts_of, read_study, seeds_of


def load_study(
    name_or_path: str,
    *,
    scale: str = FULL,
    seeds: int | Sequence[int] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Study:
    """Return a study, expanded into cells.

    Args:
        name_or_path: A study of the package, or a YAML file.
        scale: A scale of the package or of the study.
        seeds: The seeds, or their number, in place of those of scale and study.
        only: Labels by axis: other cells are left out.

    Raises:
        UserError: There is no such study, scale, axis or label, or the file is wrong.

    Example:
        >>> study = load_study("table2", scale="smoke", only={"network": ["ResNet-32"], "method": ["MCL-OKD"]})
        >>> [(cell.role, cell.labels["network"]) for cell in study.cells]
        [('plain', 'ResNet-32'), ('method', 'ResNet-32')]
    """
    name, file, where = read_study(name_or_path)
    rules = read_scale(scale, file.scales, where)
    every_part = parts_of(file, where)
    baseline = _baseline(file, every_part, where)
    parts = _chosen(every_part, only or {}, where)
    parts = [replace(part, seeds=_seeds(part, rules, seeds)) for part in parts]
    maker = CellMaker(file, rules, where)
    found = [cell for part in parts for cell in maker.cells(part)]
    study = Study(
        name=name,
        title=file.title or name,
        source=file.source,
        kind=file.kind,
        seeds=tuple(sorted({cell.seed for cell in found})),
        datasets={cell.dataset: cell.place for cell in found},
        cells=(),
        plain=maker.plain,
        baseline=baseline,
        paper=file.paper,
        analyses=tuple(file.analyses),
        figure=file.figure,
        scale=Scale(scale, maker.statements()),
        equal_compute=file.equal_compute,
        plain_axes=_plain_axes(file, parts),
        left_out=frozenset(_labels(every_part)[DATASET]).difference(cell.dataset for cell in found),
    )
    return replace(study, cells=_in_order(study, found))


def _chosen(parts: list[Part], only: Mapping[str, Sequence[str]], where: str) -> list[Part]:
    """Return the parts with the chosen labels; a label may be given as in a folder name ("mcl-okd")."""
    known = {axis: {slug(label): label for label in labels} for axis, labels in _labels(parts).items()}
    for axis, labels in only.items():
        if axis not in known:
            raise unknown_name(f"axis{where}", axis, known)
        for label in labels:
            if slug(label) not in known[axis]:
                raise unknown_name(f"{axis}{where}", label, known[axis].values())
    slugs = {axis: {slug(label) for label in labels} for axis, labels in only.items()}
    found = []
    for part in parts:
        kept = {
            axis: {label: options for label, options in labels.items() if slug(label) in slugs.get(axis, {slug(label)})}
            for axis, labels in part.axes.items()
        }
        if slugs.keys() <= kept.keys() and all(kept.values()):
            found.append(replace(part, axes=kept))
    if not found:
        asked = ", ".join(f"{axis} {' or '.join(labels)}" for axis, labels in only.items())
        raise UserError(f"no cell{where} has {asked}")
    return found


def _baseline(file: StudyFile, parts: list[Part], where: str) -> dict[str, str] | None:
    """Return the labels with which cells are compared."""
    if file.baseline is None:
        return None
    known = _labels(parts)
    found = {axis: as_label(label) for axis, label in file.baseline.items()}
    for axis, label in found.items():
        if axis not in known:
            raise unknown_name(f"axis of baseline{where}", axis, known)
        if label not in known[axis]:
            raise unknown_name(f"{axis} of baseline{where}", label, known[axis])
    return found


def _labels(parts: list[Part]) -> dict[str, list[str]]:
    """Return all labels of every axis."""
    found: dict[str, list[str]] = {}
    for part in parts:
        for axis, labels in part.axes.items():
            found.setdefault(axis, []).extend(labels)
    return found


def _seeds(part: Part, rules: ScaleRules, asked: int | Sequence[int] | None) -> tuple[int, ...]:
    if asked is not None:
        return seeds_of(asked if isinstance(asked, int) else list(asked))
    return part.seeds if rules.seeds is None else part.seeds[: max(1, rules.seeds)]


def _plain_axes(file: StudyFile, parts: Sequence[Part]) -> frozenset[str]:
    """Return the axes that set more than options of the peers, and "dataset"."""
    found = {DATASET}
    for part in parts:
        for axis, labels in part.axes.items():
            if any(shared_options(file.kind, options) for options in labels.values()):
                found.add(axis)
    return frozenset(found)


def _in_order(study: Study, compared: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells that are compared, with plain networks and teachers, seed by seed, teachers first."""
    known = {cell.name: cell for cell in reversed(compared)}
    found: dict[tuple[str, str], Cell] = {}

    def add(cell: Cell) -> None:
        if cell.teacher is not None:
            add(known.get(cell.teacher.name, cell.teacher))
        found.setdefault((cell.name, str(cell.labels)), cell)

    for seed in study.seeds:
        of_seed = [cell for cell in compared if cell.seed == seed]
        if study.equal_compute or study.baseline is None:
            plain = {cell.name: cell for cell in map(study.plain_of, of_seed) if cell.name not in known}
            for cell in plain.values():
                add(cell)
        for cell in of_seed:
            add(cell)
    return tuple(found.values())
