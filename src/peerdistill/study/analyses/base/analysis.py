"""What an analysis is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun

FIGURES = "figures"
"""Key of the numbers of a result, by name: those of the network that is examined. None stands for NaN."""

NETWORKS = "networks"
"""Key of the same numbers of every network of a run: by the name of the network, then by their own name."""

REASON = "does_not_apply"
"""The only key of the result of an analysis that does not apply to a run: a sentence that says why."""

Result = dict[str, Any]
"""The result of an analysis: values for JSON."""


class DoesNotApply(Exception):  # noqa: N818 (it is no error)
    """An analysis does not apply to a run. The message is one sentence that says why."""


@dataclass(frozen=True)
class Analysis:
    """An analysis of a trained run.

    Attributes:
        name: Its name in options, results and files.
        help: A few words about it.
        compute: Returns its result for a run: small values for JSON. The key "figures" has numbers by name, with units
            in the names; they stand side by side in tables of several runs. The key "networks", which may be missing,
            has the same numbers of each network. Other keys are free. It raises :class:`DoesNotApply` for a run without
            what it needs.
        draw: Returns a matplotlib figure for the results of one or more runs by the name of the run; all of them have
            figures. It draws within :func:`peerdistill.evaluation.plotting.style`.
        compare: Returns values for JSON about two runs: what the second changes in comparison with the first. Its key
            "figures" has numbers by name.
        draw_comparison: Returns a matplotlib figure for the result of ``compare`` and the names of the two runs.
    """

    name: str
    help: str
    compute: "Callable[[AnalysedRun], Result]"
    draw: "Callable[[Mapping[str, Result]], Figure] | None" = None
    compare: "Callable[[AnalysedRun, AnalysedRun], Result] | None" = None
    draw_comparison: "Callable[[Result, str, str], Figure] | None" = None
