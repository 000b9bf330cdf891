"""From the folder of a finished run to its cell in a record."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from peerdistill.errors import UserError, reading
from peerdistill.runs.run import Run, Which
from peerdistill.study.record.cell import CellRecord, Figures
from peerdistill.study.record.record import write_episodes, write_log
from peerdistill.training.metrics import MetricsFile

if TYPE_CHECKING:
    from peerdistill.fewshot import EpisodeSetConfig
    from peerdistill.runs import EpisodeResult

_FOLDERS = re.compile(r"(?<![^:,])(/|[A-Za-z]:[/\\\\])[^,]*[/\\\\]")
"""Folders of an absolute path, at the beginning of an option, after the prefix of files or after a comma."""

_MACHINE = ("processor", "cores", "threads", "device", "accelerator", "platform")


def finished_cell(cell: CellRecord, run: Run, folder: Path) -> CellRecord:
    """Return a cell with the results of its run; its log and the accuracies of its episodes are kept in ``folder``.

    A few-shot run is evaluated here, on the columns of Table 5 of the paper or, if its data are too small for them, on
    its own test episodes.

    Args:
        cell: The cell as it was planned.
        run: Its run, which is finished.
        folder: Folder of the record.

    Raises:
        UserError: A file of the run is missing or damaged.
        WriteError: A file can't be written.
    """
    with reading(f"the result of {run.path} cannot be read"):
        result, environment, log = _files(run)
        found = replace(
            _with_costs(cell, run, result, environment, log),
            options={name: without_folders(value) for name, value in result["options"].items()},
            images=result.get("images", {}),
            parameters=result["parameters"],
            versions=result["versions"],
            last=_errors(result["last"]),
            best=None if result["best"] is None else _errors(result["best"]),
        )
    write_log(folder, cell.name, environment, log)
    return _with_episodes(found, run, folder) if cell.kind == "episodes" else found


def with_costs(cell: CellRecord, run: Run) -> CellRecord:
    """Return a cell with what the training of its run cost, without the rest of its results. Nothing is written.

    Raises:
        UserError: A file of the run is missing or damaged.
    """
    with reading(f"the result of {run.path} cannot be read"):
        return _with_costs(cell, run, *_files(run))


def _files(run: Run) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return the result, the environment and the log of a finished run."""
    return _json(run.result_file), _json(run.environment_file), MetricsFile(run.metrics_file).read()


def _with_costs(
    cell: CellRecord,
    run: Run,
    result: Mapping[str, Any],
    environment: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
) -> CellRecord:
    epochs, steps = log[-1]["epoch"], log[-1]["step"]
    return replace(
        cell,
        status="finished",
        reason=None,
        epochs=epochs,
        steps=steps,
        seconds=result["seconds"],
        cpu_seconds=result.get("cpu_seconds"),
        multiply_adds=_multiply_adds(run, steps, epochs),
        machine={name: environment.get(name) for name in _MACHINE},
    )


def _multiply_adds(run: Run, steps: int, epochs: int) -> int | None:
    """Return the multiply-adds of a training; None if what they depend on, such as a teacher, no longer exists."""
    from peerdistill.study.cost import multiply_adds_of_steps, sizes_of_run

    try:
        return multiply_adds_of_steps(run.config, sizes_of_run(run), steps, steps // epochs)
    except UserError:
        return None


def without_folders(value: Any) -> Any:
    """Return the value of an option in which absolute paths are only the names of their files.

    A record is published, and the folders of a machine mean nothing elsewhere.

    Example:
        >>> without_folders("npz:/home/me/a.npz,/home/me/b.npz"), without_folders("cifar100"), without_folders(3)
        ('npz:a.npz,b.npz', 'cifar100', 3)
    """
    if isinstance(value, Mapping):
        return {name: without_folders(one) for name, one in value.items()}
    return _FOLDERS.sub("", value) if isinstance(value, str) else value


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _errors(of_epoch: Mapping[str, Any]) -> Figures:
    """Return the errors in percent on the test images, or on the validation images if there are no others."""
    column, split = ("error", "test") if "test" in of_epoch else ("validation error", "val")
    scores = of_epoch[split]
    peers = [100 - peer["top1"] for peer in scores["peers"]]
    ensemble = 100 - scores["ensemble"]["top1"] if len(peers) > 1 else None
    return {column: {"leader": peers[-1], "mean peer": fmean(peers), "ensemble": ensemble}}


def _with_episodes(cell: CellRecord, run: Run, folder: Path) -> CellRecord:
    last = _evaluated(run, "last")
    leaders = {of_column.episodes.shape.column: 100 * of_column.leader.numpy() for of_column in last}
    write_episodes(folder, cell.name, leaders)
    best = _figures(_evaluated(run, "best")) if "best" in run.saved else None
    return replace(cell, last=_figures(last), best=best)


def _evaluated(run: Run, which: Which) -> "list[EpisodeResult]":
    from peerdistill import runs

    try:
        return runs.evaluate_episodes(run, _columns(run), which)
    except UserError:  # too few classes, or too few images of a class
        return runs.evaluate_episodes(run, runs.episode_sets(run), which)


def _columns(run: Run) -> "Sequence[EpisodeSetConfig]":
    """Return the columns of Table 5, with no more episodes than the run itself is tested on."""
    from peerdistill import runs

    (own,) = runs.episode_sets(run)
    columns = runs.episode_sets(run, paper=True)
    return [replace(column, episodes=min(column.episodes, own.episodes)) for column in columns]


def _figures(columns: "Sequence[EpisodeResult]") -> Figures:
    """Return the mean accuracies in percent."""
    found: dict[str, dict[str, float | None]] = {}
    for column in columns:
        *peers, together = (100 * of_predictor.mean().item() for of_predictor in column.accuracy)
        ensemble = together if len(peers) > 1 else None
        found[column.episodes.shape.column] = {"leader": peers[-1], "mean peer": fmean(peers), "ensemble": ensemble}
    return found
