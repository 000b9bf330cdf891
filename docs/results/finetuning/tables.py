"""The tables of the fine-tuning study, made of its records."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

PAGE = Path(__file__).parent.parent / "finetuning.md"
OPENING, CLOSING = "<!-- tables -->", "<!-- /tables -->"
SINGLE, LONGER = "single", "single, longer"
NETWORKS = ("leader", "ensemble", "average")

Record = Mapping[str, Any]


def write_tables(results: Mapping[str, Any]) -> None:
    """Write the tables of all data sets between the comments of the page; its other text stays as it is."""
    names = list(dict.fromkeys(record["data"] for record in results.values()))
    tables = "\n\n".join(_of_data(name, results) for name in names)
    text = PAGE.read_text() if PAGE.exists() else f"{OPENING}\n{CLOSING}\n"
    before, _, rest = text.partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    PAGE.write_text(f"{before}{OPENING}\n{tables}\n{CLOSING}{after}")


def _of_data(name: str, results: Mapping[str, Any]) -> str:
    runs = [record for record in results.values() if record["data"] == name]
    arms = list(dict.fromkeys(record["arm"] for record in runs))
    columns = ["epochs", "CPU minutes", "leader", "mean peer", "ensemble", "average", "leader, balanced"]
    lines = [f"| arm | seeds | {' | '.join(columns)} |", f"| --- | --- |{' --- |' * len(columns)}"]
    for arm in arms:
        of_arm = [record for record in runs if record["arm"] == arm]
        lines.append(f"| {arm} | {len(of_arm)} | {' | '.join(_cells(of_arm))} |")
    head = f"### {name}\n\n{runs[0]['test_images']} test images a run."
    return "\n\n".join([head, "\n".join(lines), "\n".join(_differences(runs, arms)), _verdict(runs)])


def _differences(runs: list[Record], arms: list[str]) -> Iterator[str]:
    """Yield the lines of the table of paired differences."""
    columns = [("leader", SINGLE), *((network, LONGER) for network in NETWORKS)]
    yield f"| arm | {' | '.join(f'{network} - {base}' for network, base in columns)} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for arm in arms:
        if arm not in (SINGLE, LONGER):
            found = (_with_interval(_paired(runs, arm, network, base), "+") for network, base in columns)
            yield f"| {arm} | {' | '.join(found)} |"


def _verdict(runs: list[Record]) -> str:
    """Return a sentence that compares MCL-OKD with the single network of equal time."""
    values = _paired(runs, "mcl-okd", "leader", LONGER)
    if len(values) < 3:
        return f"**Verdict**: {len(values)} seeds are too few."
    half = _half_interval(values)
    mean = float(np.mean(values))
    words = "cannot be told apart" if abs(mean) <= half else f"{'more' if mean > 0 else 'less'} accurate"
    return (
        f"**Verdict**: at equal time, MCL-OKD's leader minus the single network is {mean:+.2f} ± {half:.2f} points "
        f"({len(values)} seeds): {words}."
    )


def _cells(records: list[Record]) -> list[str]:
    epochs = sorted({record["epochs"] for record in records})
    minutes = np.mean([record["cpu_seconds"] for record in records]) / 60
    return [
        ", ".join(map(str, epochs)),
        f"{minutes:.1f}",
        _mean(records, lambda record: record["leader"]["top1"]),
        _mean(records, lambda record: np.mean([peer["top1"] for peer in record["peers"]])),
        _mean(records, lambda record: record["ensemble"]["top1"]),
        _mean(records, lambda record: record["average"]["top1"]),
        _mean(records, lambda record: 100 * record["leader"]["balanced_accuracy"]),
    ]


def _mean(records: list[Record], value: Callable[[Record], Any]) -> str:
    try:
        return _with_interval([float(value(record)) for record in records])
    except KeyError:  # a single network has no ensemble
        return "-"


def _paired(runs: list[Record], arm: str, network: str, base: str) -> list[float]:
    """Return the differences in accuracy between a network of an arm and the leader of ``base``, by seed."""
    top1 = {(record["arm"], record["seed"]): record["leader"]["top1"] for record in runs}
    own = {record["seed"]: record[network]["top1"] for record in runs if record["arm"] == arm}
    return [value - top1[base, seed] for seed, value in own.items() if (base, seed) in top1]


def _with_interval(values: list[float], sign: str = "") -> str:
    """Return the mean and, of at least three values, its 95 % interval."""
    mean = f"{np.mean(values):{sign}.2f}" if values else "-"
    return mean if len(values) < 3 else f"{mean} ± {_half_interval(values):.2f}"


def _half_interval(values: list[float]) -> float:
    """Return half of the 95 % interval of a mean over seeds (Student's t)."""
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
