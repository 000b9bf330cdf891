"""A training step of each method, beside the baseline with the same sharing.

    python benchmarks/methods.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes some minutes on one CPU core, and uses a GPU if there is one. Each method uses
its default sharing. Methods that need a teacher train one student and are compared with one student without a teacher.
"""

from collections.abc import Iterable
from typing import NamedTuple

from measuring import give, header, parser
from peerdistill import methods
from peerdistill.study.timing import median_seconds
from training_step import BACKBONE, BATCH, CLASSES, PEERS, SAMPLES, Step, draw_batch


class Setting(NamedTuple):
    """The cohort that compared methods have in common."""

    sharing: str
    peers: int
    branch_at: str

    def __str__(self) -> str:
        if self.peers == 1:
            return "one student"
        return f"{self.sharing}{', late' if self.branch_at == 'late' else ''}, {self.peers} peers"


def setting_of(name: str) -> Setting:
    card = methods.find(name)
    return Setting(card.sharings[0], card.cohort.get("peers", PEERS), card.cohort.get("branch_at", "early"))


def measure_setting(setting: Setting, names: Iterable[str], repeats: int) -> list[dict]:
    """Return a row for the baseline and for each method."""
    batch = draw_batch()
    compared = ["baseline", *(name for name in names if name != "baseline")]
    steps = {name: Step(name, batch, setting._asdict()) for name in compared}
    took = median_seconds(steps, repeats)
    return [
        {"method": name, "setting": str(setting), "seconds": took[name], "cost": took[name] / took["baseline"]}
        for name in compared
    ]


def measure(repeats: int) -> list[dict]:
    """Return the rows of each setting that is the default of a method."""
    groups: dict[Setting, list[str]] = {}
    for name in methods.names():
        groups.setdefault(setting_of(name), []).append(name)
    return [row for setting, names in groups.items() for row in measure_setting(setting, names, repeats)]


def main() -> None:
    options = parser("Time of a training step of each method.").parse_args()
    about = header(
        sizes=f"{BACKBONE}, {PEERS} peers, batch {BATCH}, {CLASSES} classes, {SAMPLES} samples, float32",
        method=f"one step with weight ramps at their end; median of {options.repeats} alternating repeats after one "
        "untimed",
    )
    report = {"header": about, "steps": measure(options.repeats)}
    give(report, options)


if __name__ == "__main__":
    main()
