"""Facts and tables about one run: its scores, its configuration and its environment."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from peerdistill.fewshot.config import column_of
from peerdistill.study.report.charts import Table
from peerdistill.study.report.reported_run import ReportedRun


def percent(value: float | None) -> str:
    """Return a percentage with two digits."""
    return "" if value is None else f"{value:.2f} %"


def duration(seconds: float | None) -> str:
    """Return a time in hours, minutes or seconds."""
    if seconds is None:
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def facts_of(reported: ReportedRun) -> list[tuple[str, str, str]]:
    """Return name, value and explanation of the figures at the top."""
    result, scores = reported.result, reported.scores
    if result is None or scores is None:
        done = reported.records[-1]["epoch"] if reported.records else 0
        return [("Epochs", f"{done} of {reported.config.training.epochs}", "training has not ended")]
    half = scores["leader"].get("interval95")
    found = [("Leader", percent(scores["leader"]["top1"]), f"top-1 accuracy, {_on(reported)}")]
    if half is not None:
        found[0] = ("Leader", f"{scores['leader']['top1']:.2f} ± {half:.2f} %", _on(reported))
    if reported.peers > 1:
        mean = fmean(peer["top1"] for peer in scores["peers"])
        found.append(("Mean peer", percent(mean), f"of {reported.peers} peers"))
        found.append(("Ensemble", percent(scores["ensemble"]["top1"]), "all peers together"))
    if reported.outcomes:
        leader = reported.outcomes["leader"]
        found.append(("Balanced accuracy", percent(100 * leader.balanced_accuracy), "mean recall of the classes"))
        found.append(("Calibration error", f"{leader.ece:.4f}", "expected, of the leader, 0 to 1"))
    found.append(("Parameters", f"{result['parameters']['leader']:,}", "of the deployed leader"))
    cpu = result.get("cpu_seconds")
    note = "elapsed" if cpu is None else f"elapsed; {duration(cpu)} of CPU time"
    found.append(("Training time", duration(result.get("seconds")), note))
    return found


def _on(reported: ReportedRun) -> str:
    scores = reported.scores or {}
    if reported.config.kind == "episodes":
        shape = column_of(scores["ways"], scores["shots"])
        return f"{shape}, {scores['episodes']:,} {reported.evaluated} episodes, 95 % interval"
    return f"{scores['samples']:,} {reported.evaluated} images, {reported.which} epoch"


def scores_table(reported: ReportedRun) -> Table | None:
    """Return the scores of every network, with a column for each epoch, evaluation set and metric."""
    if reported.result is None:
        return None
    columns: dict[str, None] = {}
    rows: dict[str, dict[str, str]] = {}
    for which in ("last", "best"):
        measured = reported.result.get(which) or {}
        for split in (name for name in ("test", "val") if name in measured):
            where = f"{which} epoch ({measured['epoch']}), {_SPLITS.get(split, split)}"
            for network, scores in _networks(measured[split]):
                named = {f"{where}: {_METRICS.get(name, name)}": text for name, text in _with_interval(scores)}
                rows.setdefault(network, {}).update(named)
                columns |= dict.fromkeys(named)
    return Table(["network", *columns], [[name, *map(values.get, columns)] for name, values in rows.items()])


_SPLITS = {"val": "validation"}
_METRICS = {"top1": "top-1, %", "top5": "top-5, %"}


def _with_interval(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the metrics of a network as text, and the interval of few-shot runs behind its mean."""
    for name, value in scores.items():
        if name == "top1" and "interval95" in scores:
            yield name, f"{value:.2f} ± {scores['interval95']:.2f}"
        elif name != "interval95":
            yield name, f"{value:.2f}"


def _networks(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield the networks that were evaluated with their scores: the leader first, then what contains or averages it."""
    yield "leader", scores["leader"]
    if len(scores["peers"]) > 1:
        yield "ensemble", scores["ensemble"]
    yield from ((name, scores[name]) for name in ("ema", "average") if name in scores)
    yield from ((f"peer {number}", peer) for number, peer in enumerate(scores["peers"][:-1]))


def options_table(reported: ReportedRun) -> Table:
    """Return the configuration, an option in each row."""
    return Table(["option", "value"], [[name, shown(value)] for name, value in _flat(reported.config.as_dict())])


def environment_table(reported: ReportedRun) -> Table | None:
    """Return the machine and the versions, an item in each row; None if they were not kept."""
    if reported.environment is None:
        return None
    return Table(["item", "value"], [[name, shown(value)] for name, value in _flat(reported.environment)])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found


def shown(value: Any) -> str:
    """Return the value of an option as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
