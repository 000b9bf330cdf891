"""The plain network with the compute of a method: the same seconds, the same multiply-adds, or M networks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from peerdistill.study.plan import Cell, Study
from peerdistill.study.record import Record
from peerdistill.study.results.groups import ERRORS, Group, Groups
from peerdistill.study.results.values import OverSeeds

Compute = Literal["equal time", "equal multiply-adds"]

MEASURES: Mapping[Compute, str] = {"equal time": "time", "equal multiply-adds": "multiply_adds"}
"""What is equal, and the number of a recorded cell that measures it."""

_LONGEST_REUSED = 1.1


def extra_cells(study: Study, record: Record) -> tuple[Cell, ...]:
    """Return the plain networks to train for the time and for the multiply-adds of each method that has been trained.

    A method takes ratio = mean(method) / mean(plain) times as much as the plain network of the same data and network;
    that network is then trained for ratio times its epochs, or episodes, rounded up to two significant digits. Several
    methods so share cells, and the plain network never has less than the method. A recorded cell of almost this length
    is used again, because the mean time changes a little with every seed.

    Returns:
        Cells of the roles "equal time" and "equal multiply-adds", each once; none if the study does not ask for them.
    """
    if not study.equal_compute:
        return ()
    found: dict[tuple[str, str], Cell] = {}
    groups = Groups(study, record)
    for group in groups.methods:
        for compute in MEASURES:
            longer = longer_plain(groups, group, compute)
            for cell in () if longer is None else longer.cells:
                if cell.role == compute:
                    found.setdefault((cell.name, compute), cell)
    return tuple(found.values())


def longer_plain(groups: Groups, group: Group, compute: Compute) -> Group | None:
    """Return the plain network with at least the compute of a group.

    Returns:
        None if either has not been trained, or the measure is unknown, or the group is the plain network itself. It is
        the plain network of the study if that takes as much as the group.
    """
    plain = groups.plain_of(group)
    if plain.name == group.name:
        return None
    ours, its = (one.mean_cost(MEASURES[compute]) for one in (group, plain))
    if not ours or not its:
        return None
    if ours <= its:
        return plain
    factor = _known_factor(plain, ours / its, compute)
    return Group(tuple(cell.longer(factor, compute) for cell in plain.cells), group.record)


def _known_factor(plain: Group, factor: float, compute: Compute) -> float:
    """Return the factor of a recorded cell that is trained a little longer than necessary; else the factor itself."""
    needed, labels = plain.cells[0].epochs * factor, dict(plain.labels)
    found = (cell for cell in plain.record.cells if cell.role == compute and dict(cell.labels) == labels)
    known = [cell.epochs for cell in found if cell.epochs and needed <= cell.epochs <= _LONGEST_REUSED * needed]
    return min(known) / plain.cells[0].epochs if known else factor


@dataclass(frozen=True)
class Longer:
    """The plain network with the compute of a method.

    Attributes:
        mean: Mean test error or accuracy of its leader over seeds, in percent; None if it has not been trained.
        deviation: Sample standard deviation over seeds; None for one seed.
        seeds: Number of seeds.
        epochs: Epochs of its training; of few-shot runs the number of validations.
    """

    mean: float | None
    deviation: float | None
    seeds: int
    epochs: int

    @classmethod
    def of(cls, plain: Group, column: str) -> "Longer":
        """Return the figures of a plain network."""
        found, epochs = OverSeeds.of(plain.figures(column, "leader").values()), plain.cells[0].epochs
        return cls(None, None, 0, epochs) if found is None else cls(found.mean, found.deviation, found.seeds, epochs)

    def __str__(self) -> str:
        found = "not trained" if self.mean is None else str(OverSeeds(self.mean, self.deviation, self.seeds))
        return f"{found} ({self.epochs} epochs)"


@dataclass(frozen=True)
class BestOf:
    """The best of several plain networks that are trained with different seeds, in expectation over the seeds.

    Attributes:
        figure: Its test error or accuracy in percent.
        networks: Number of networks among which the best is chosen, M.
        seeds: Number of seeds from which they are drawn.
        chosen_on: "validation" images or episodes, or the "test" ones. The choice on the test set favours the plain
            network: nobody can make it before the test.
    """

    figure: float
    networks: int
    seeds: int
    chosen_on: Literal["validation", "test"]

    def __str__(self) -> str:
        return f"{self.figure:.2f} (of {self.networks}, on {self.chosen_on})"


def best_of(plain: Group, column: str, networks: int) -> BestOf | None:
    """Return the expected figure of the best of some plain networks; None with fewer seeds than networks.

    All sets of that many seeds are equally likely. The best of a set is the one with the best validation accuracy in
    the last epoch if every seed has one, and else the one with the best test figure.
    """
    figures = plain.figures(column, "leader")
    if networks < 2 or len(figures) < networks:
        return None
    if plain.validation.keys() >= figures.keys():
        ranks, chosen_on = [plain.validation[seed] for seed in figures], "validation"
    else:
        better = -1 if column in ERRORS else 1
        ranks, chosen_on = [better * value for value in figures.values()], "test"
    return BestOf(expected_best(list(figures.values()), ranks, networks), networks, len(figures), chosen_on)


def expected_best(figures: Sequence[float], ranks: Sequence[float], networks: int) -> float:
    """Return the mean figure of the one with the highest rank, over all sets of ``networks`` of the figures.

    Of several with the same rank, which is common on few validation images, each is as likely to be taken.

    Example:
        >>> expected_best([20.0, 22.0, 30.0], ranks=[-20.0, -22.0, -30.0], networks=2)  # 20, 20 and 22
        20.666666666666668
    """
    _, place_of_rank, count = np.unique(ranks, return_inverse=True, return_counts=True)
    fair = (np.bincount(place_of_rank, figures) / count)[place_of_rank]
    order = np.argsort(ranks)
    # The one at place k of the order, from 0, is the best of all sets that it forms with lower ones.
    sets = [math.comb(place, networks - 1) for place in range(len(figures))]
    return float(np.dot(fair[order], sets) / math.comb(len(figures), networks))
