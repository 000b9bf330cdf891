"""A study: cells to train, and what to make of their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peerdistill.config.kinds import KindName
from peerdistill.study.plan.cell import Cell, Place
from peerdistill.study.plan.plain import shared_options


@dataclass(frozen=True)
class Scale:
    """A stated reduction of a study.

    Attributes:
        name: Its name; "full" reduces nothing.
        statements: What it reduces, by data set.
    """

    name: str
    statements: Mapping[str, str] = field(default_factory=dict)

    def statement(self, dataset: str) -> str:
        """Return what every line of a result says about the size of its runs.

        Example:
            >>> Scale("smoke", {"CIFAR-100": "2 of 300 epochs"}).statement("CIFAR-100")
            'smoke: 2 of 300 epochs'
            >>> Scale("full").statement("CIFAR-100")
            'full: nothing is reduced'
        """
        return f"{self.name}: {self.statements.get(dataset) or 'nothing is reduced'}"


@dataclass(frozen=True)
class PaperTable:
    """The published figures that stand beside the results.

    Attributes:
        table: Number of the table.
    """

    table: int


@dataclass(frozen=True)
class LinePlot:
    """A figure of a study.

    Attributes:
        x: What the horizontal axis shows: epochs, peers, time, multiply_adds or an option.
        series: Axes of the study; each combination of their labels is a line.
        y: Predictors: leader, mean peer, ensemble.
    """

    x: str
    series: list[str] = field(default_factory=lambda: ["method"])
    y: list[str] = field(default_factory=lambda: ["leader"])


@dataclass(frozen=True)
class Study:
    """A study at a scale, expanded into cells.

    Attributes:
        name: Its name: that of its file.
        title: Its title.
        source: Where it comes from.
        kind: Kind of its runs.
        seeds: All seeds of its cells.
        datasets: Data sets by label, with the place where the study expects each.
        cells: All cells in an order in which they can be trained: teachers come before their students. Cells with the
            same name are the same run.
        plain: Options that make a network the plain single network.
        baseline: Labels of the cells with which others are compared; None: the plain network.
        paper: The published figures beside the results.
        analyses: Names of the analyses that are run for each finished cell.
        figure: The line plot of its results.
        scale: The scale.
        equal_compute: Whether the plain network is also trained for the time and the multiply-adds of each method.
        plain_axes: Axes on which a plain network has a label: those that do not only set options of the peers.
        left_out: Data sets without cells, because others were chosen.
    """

    name: str
    title: str
    source: str
    kind: KindName
    seeds: tuple[int, ...]
    datasets: Mapping[str, Place]
    cells: tuple[Cell, ...]
    plain: Mapping[str, Any]
    baseline: Mapping[str, str] | None
    paper: PaperTable | None
    analyses: tuple[str, ...]
    figure: LinePlot | None
    scale: Scale
    equal_compute: bool
    plain_axes: frozenset[str]
    left_out: frozenset[str] = frozenset()

    def plain_of(self, cell: Cell) -> Cell:
        """Return the plain network for the same data, network and training as a cell, with its seed.

        It may have the same name as a cell of the study that is compared.
        """
        labels = {axis: label for axis, label in cell.labels.items() if axis in self.plain_axes}
        options = {**shared_options(cell.kind, cell.options), **self.plain}
        return replace(cell, labels=labels, options=options, teacher=None, role="plain")
