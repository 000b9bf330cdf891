"""Analyses of one run, and of several runs side by side. Importing this file does not import PyTorch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.deploy.what import LEADER
from peerdistill.files import make_folder, write_csv
from peerdistill.runs.run import Run, Which
from peerdistill.study.analyses.base.analysis import FIGURES, NETWORKS, REASON, Analysis, DoesNotApply, Result
from peerdistill.study.analyses.base.catalog import discover, find
from peerdistill.study.run_names import check_different, distinguished

if TYPE_CHECKING:
    from peerdistill.study.analyses.base.analysed_run import AnalysedRun


@dataclass(frozen=True)
class RunAnalyses:
    """The results of analyses of one or more runs.

    Attributes:
        checkpoint: The checkpoint.
        what: The network that was examined.
        splits: The evaluation set of each run.
        results: Result of every analysis, by the name of the run and of the analysis.
        compared: What each further run changes in comparison with the first one, by the name of the run and of the
            analysis; only of analyses that compare runs.
    """

    checkpoint: Which
    what: str
    splits: dict[str, str]
    results: dict[str, dict[str, Result]]
    compared: dict[str, dict[str, Result]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of the analyses."""
        return list(next(iter(self.results.values())))

    def of(self, name: str) -> dict[str, Result]:
        """Return the results of one analysis by the name of the run."""
        return {run: of_run[name] for run, of_run in self.results.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        about = {"checkpoint": self.checkpoint, "what": self.what, "splits": self.splits, "runs": self.results}
        return {**about, "compared": self.compared} if self.compared else about

    def write_csv(self, folder: Path) -> list[Path]:
        """Write the numbers of each analysis that applies to a run: one line per run, network and number.

        Returns:
            The files, such as ``similarity.csv``. The columns are ``run``, ``network``, ``figure`` and ``value``;
            ``network`` is empty for numbers that are not of each network.

        Raises:
            UserError: The folder cannot be created.
            WriteError: A file cannot be written.
        """
        files = []
        make_folder(folder)
        for name in self.names:
            rows = [row for run, result in self.of(name).items() for row in _rows(run, result)]
            if rows:
                files.append(folder / f"{file_name(name)}.csv")
                write_csv(files[-1], ("run", "network", "figure", "value"), rows)
        return files

    def draw(self, folder: Path) -> list[Path]:
        """Write a picture of each analysis that draws one and applies to a run.

        Returns:
            The files, such as ``similarity.png`` and, of a comparison with a run ``b``, ``hardest_b.png``.

        Raises:
            UserError: The folder cannot be created.
            WriteError: A file cannot be written.
        """
        from peerdistill.evaluation.plotting import write_png

        files = []
        make_folder(folder)
        for name in self.names:
            draw = find(name).draw
            results = {short: found for short, found in self._named(name).items() if FIGURES in found}
            if draw is not None and results:
                files.append(folder / f"{file_name(name)}.png")
                write_png(lambda draw=draw, results=results: draw(results), files[-1])
        return files + self._draw_comparisons(folder)

    def _draw_comparisons(self, folder: Path) -> list[Path]:
        from peerdistill.evaluation.plotting import write_png

        files = []
        first, *others = distinguished(list(self.results))
        for second, comparisons in zip(others, self.compared.values(), strict=False):
            for name, found in comparisons.items():
                draw = find(name).draw_comparison
                if draw is not None and FIGURES in found:
                    files.append(folder / f"{file_name(name)}_{second.strip('/').replace('/', '-')}.png")
                    write_png(lambda draw=draw, found=found, both=(first, second): draw(found, *both), files[-1])
        return files

    def _named(self, name: str) -> dict[str, Result]:
        return dict(zip(distinguished(list(self.results)), self.of(name).values(), strict=True))


def file_name(name: str) -> str:
    """Return the name of an analysis in names of files: without the module of the user's own code."""
    return name.rpartition(":")[2]


def _rows(run: str, result: Result) -> list[tuple[object, ...]]:
    networks = result.get(NETWORKS) or {"": result.get(FIGURES, {})}
    return [(run, network, figure, value) for network, figures in networks.items() for figure, value in figures.items()]


def analyse(
    run: Run,
    names: Sequence[str] | None = None,
    which: Which = "last",
    split: str | None = None,
    *,
    what: str = LEADER,
    device: str = "cpu",
) -> dict[str, Result]:
    """Return the results of analyses of a run, by their names. All share one pass over the evaluation images.

    Args:
        run: The run.
        names: The analyses; by default all of the package.
        which: The checkpoint.
        split: "test" or "val". The default is "test", or "val" with a :class:`PeerdistillWarning` if the data have no
            test images.
        what: The network that is examined: "leader", "ensemble", "peer:K", "ema" or "average". The features of the
            ensemble are those of all peers, one after the other.
        device: Where the networks run.

    Returns:
        Values for JSON. The key "figures" of a result has numbers by name, such as "intra-class similarity". A result
        without it has the key "does_not_apply": a sentence that says why the analysis does not apply to this run.

    Raises:
        UserError: An analysis, the run, checkpoint, network, split or device does not exist, or the data have changed.

    Example:
        .. code-block:: python

            found = analyse(Run("runs/photos"), ["similarity"])
            found["similarity"]["figures"]["intra-class similarity"]
    """
    analyses = _chosen(names)
    from peerdistill.study.analyses.base.analysed_run import AnalysedRun

    return _results(AnalysedRun(run, which, split, what=what, device=device), analyses)


def analyse_runs(
    runs: Sequence[Run],
    names: Sequence[str] | None = None,
    which: Which = "last",
    split: str | None = None,
    *,
    what: str = LEADER,
    device: str = "cpu",
    tell: Callable[[str], object] = lambda _: None,
) -> RunAnalyses:
    """Return the results of analyses of several runs, and comparisons of each further run with the first one.

    Args:
        runs: The runs; the features of all of them are in memory together.
        names: As for :func:`analyse`.
        which: The checkpoint.
        split: As for :func:`analyse`.
        what: As for :func:`analyse`.
        device: Where the networks run.
        tell: Called with what is done next.

    Raises:
        UserError: As :func:`analyse`, and if a run is named twice.
    """
    analyses = _chosen(names)
    paths = [str(run.path) for run in runs]
    for run in runs:
        run.require()
    check_different(runs)
    from peerdistill.study.analyses.base.analysed_run import AnalysedRun

    opened, results = {}, {}
    for path, run in zip(paths, runs, strict=True):
        tell(f"{path}: reading the data")
        opened[path] = AnalysedRun(run, which, split, what=what, device=device)
        results[path] = _results(opened[path], analyses, lambda name, path=path: tell(f"{path}: {name}"))
    first, *others = opened
    compared = {path: _comparisons(opened[first], opened[path], analyses) for path in others}
    splits = {path: one.split for path, one in opened.items()}
    return RunAnalyses(which, what, splits, results, {path: found for path, found in compared.items() if found})


def _chosen(names: Sequence[str] | None) -> dict[str, Analysis]:
    names = list(discover()) if names is None else list(dict.fromkeys(names))
    return {name: find(name) for name in names}


def _results(
    run: "AnalysedRun", analyses: dict[str, Analysis], tell: Callable[[str], object] = lambda _: None
) -> dict[str, Result]:
    found = {}
    for name, one in analyses.items():
        tell(name)
        found[name] = _or_reason(lambda one=one: one.compute(run))
    return found


def _comparisons(first: "AnalysedRun", second: "AnalysedRun", analyses: dict[str, Analysis]) -> dict[str, Result]:
    return {
        name: _or_reason(lambda compare=one.compare: compare(first, second))
        for name, one in analyses.items()
        if one.compare is not None
    }


def _or_reason(compute: Callable[[], Result]) -> Result:
    try:
        return compute()
    except DoesNotApply as reason:
        return {REASON: str(reason)}
