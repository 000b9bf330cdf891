"""Analyses of the runs of a report: what :mod:`peerdistill.study.analyses` computes, as sections of the page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from peerdistill.errors import UserError
from peerdistill.study.analyses import analyse, find
from peerdistill.study.analyses.base.analysis import FIGURES, NETWORKS, REASON, Result
from peerdistill.study.report.charts import Chart, Line, Section, Table, lines, rounded
from peerdistill.study.report.reported_run import ReportedRun

Results = Mapping[str, Result]
"""The results of analyses of one run by name; without figures, a result says why under "does_not_apply"."""


def analyses_of(reported: ReportedRun, names: Sequence[str]) -> Results:
    """Return the results of analyses of a run. What cannot be computed, for example without data, says why."""
    if not names:
        return {}
    try:
        return analyse(reported.run, names, reported.which, reported.split)
    except UserError as error:
        return {name: {REASON: f"It was not computed: {error}"} for name in names}


def analysis_sections(results: Results, id: str) -> list[Section]:
    """Return a section for each analysis of one run: its figures for each network, and its charts.

    Args:
        results: The results.
        id: Beginning of the identifiers of the charts.
    """
    return [_section(name, result, id) for name, result in results.items()]


def analyses_side_by_side(results: Mapping[str, Results]) -> Section | None:
    """Return the figures of all analyses with a row for each run; None if no analysis applies.

    Args:
        results: The results by the name of the run.
    """
    figures = {run: dict(_figures(of_run)) for run, of_run in results.items()}
    columns = list(dict.fromkeys(name for of_run in figures.values() for name in of_run))
    if not columns:
        return None
    rows = [[run, *(_number(of_run.get(name)) for name in columns)] for run, of_run in figures.items()]
    table = Table(["run", *columns], rows)
    return Section("analyses", "Analyses", ["Figures of the leaders."], tables=[("analyses of the leaders", table)])


def _section(name: str, result: Result, id: str) -> Section:
    title, about = f"{name.rpartition(':')[2].capitalize()}", f"{find(name).help[0].upper()}{find(name).help[1:]}."
    if FIGURES not in result:
        return Section(name, title, [about, result.get(REASON, "")])
    networks = result.get(NETWORKS) or {"value": result[FIGURES]}
    names = list(dict.fromkeys(figure for figures in networks.values() for figure in figures))
    rows = [[figure, *(_number(figures.get(figure)) for figures in networks.values())] for figure in names]
    table = Table(["figure", *networks], rows)
    return Section(name, title, [about], list(_charts(result, f"{id}-{name}")), [(f"{name} of every network", table)])


def _charts(result: Result, id: str) -> Iterator[Chart]:
    peers: list[str] = result.get("peers", [])
    for number, (title, values) in enumerate(result.get("matrices", {}).items()):
        rows = [[peer, *of_peer] for peer, of_peer in zip(peers, values, strict=True)]
        data = {"x": peers, "y": peers, "z": [[rounded(value) for value in of_peer] for of_peer in values]}
        note = "For every pair of peers."
        heading = f"{title[0].upper()}{title[1:]}"
        yield Chart(f"{id}-{number}", "heatmap", heading, note, data, Table(["peer", *peers], rows))
    if histogram := result.get("histogram"):
        yield _histogram(histogram, id)


def _histogram(histogram: Mapping[str, Any], id: str) -> Chart:
    edges = histogram["edges"]
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    drawn = []
    for colour, name in enumerate(name for name in histogram if name.endswith("pairs")):
        pairs = sum(histogram[name])
        drawn.append(Line(name, centres, [100 * count / pairs if pairs else None for count in histogram[name]], colour))
    note = f"Pairs of {histogram['images']:,} images by the cosine similarity of their features."
    return lines(f"{id}-histogram", "Similarity of pairs", note, drawn, x="cosine similarity", y="pairs, %")


def _figures(results: Results) -> Iterator[tuple[str, float | int | None]]:
    for result in results.values():
        yield from result.get(FIGURES, {}).items()


def _number(value: float | int | None) -> str:
    """Return a number with four significant digits."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
