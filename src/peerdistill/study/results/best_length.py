"""The plain network with the best number of epochs among those that take no more than a method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from peerdistill.study.plan import Cell
from peerdistill.study.results.equal_compute import MEASURES, Compute
from peerdistill.study.results.groups import ERRORS, Group, Groups

ABOUT_EQUAL = 1.1
"""How many times as much as a method a plain network may take: measured times vary a little."""


@dataclass(frozen=True)
class BestLength:
    """The plain network with the best number of epochs within the compute of a method.

    Attributes:
        group: The plain network.
        compute: What it takes no more of than the method: time if all were trained on machines of one kind, and else
            multiply-adds.
        chosen_on: "validation" images or episodes, or the "test" ones, which favours the plain network.
    """

    group: Group
    compute: Compute
    chosen_on: Literal["validation", "test"]

    def __str__(self) -> str:
        of = self.compute.removeprefix("equal ")
        return f"{self.group.cells[0].epochs} epochs, the best on the {self.chosen_on} set within its {of}"


def best_length(groups: Groups, group: Group, column: str) -> BestLength | None:
    """Return the best of the plain networks that differ in nothing but the length of their training.

    Args:
        groups: All groups of the study.
        group: The method.
        column: What was measured.

    Returns:
        None for a plain network, if it was not trained for several lengths, or if none of them is within the compute
        of the method.
    """
    plain = groups.plain_of(group)
    lengths = [] if plain.name == group.name else list(_lengths(groups, plain, group, column))
    if len(lengths) < 2:
        return None
    compute: Compute = "equal time" if _on_one_machine([group, *lengths]) else "equal multiply-adds"
    ours = group.mean_cost(MEASURES[compute])
    costs = [one.mean_cost(MEASURES[compute]) for one in lengths]
    within = [one for one, cost in zip(lengths, costs, strict=True) if ours and cost and cost <= ABOUT_EQUAL * ours]
    if not within:
        return None
    validated = all(one.validation.keys() >= one.finished.keys() for one in within)
    best = max(within, key=lambda one: _quality(one, group, column, validated=validated))
    return BestLength(best, compute, "validation" if validated else "test")


def _lengths(groups: Groups, plain: Group, group: Group, column: str) -> Iterator[Group]:
    """Yield the plain networks like ``plain``, of any length, that were measured with a seed of ``group``."""
    for other in {one.name: one for one in (*groups.methods, *groups.plain, plain)}.values():
        is_plain = groups.plain_of(other).name == other.name
        measured = other.figures(column, "leader").keys() & group.finished.keys()
        if is_plain and measured and _differs_in_length(other, plain):
            yield other


def _differs_in_length(one: Group, other: Group) -> bool:
    """Return whether two groups have the same configuration, apart from the number of their epochs or episodes."""
    ours, theirs = one.cells[0], other.cells[0]
    return ours.dataset == theirs.dataset and ours.changed("plain", _length(theirs)).digest == theirs.digest


def _length(cell: Cell) -> dict[str, int]:
    episodes = cell.resolved.episodes
    return {"epochs": cell.epochs} if episodes is None else {"episodes": episodes.episodes}


def _on_one_machine(groups: Sequence[Group]) -> bool:
    """Return whether all runs were trained on machines of one kind, so that their times can be compared."""
    return len(frozenset().union(*(group.machines for group in groups))) == 1


def _quality(plain: Group, group: Group, column: str, *, validated: bool) -> float:
    """Return how good a plain network is over the seeds that it has in common with a group; more is better."""
    figures = plain.validation if validated else plain.figures(column, "leader")
    mean = fmean(value for seed, value in figures.items() if seed in group.finished)
    return mean if validated or column not in ERRORS else -mean
