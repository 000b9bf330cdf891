"""What a training step costs by each method, beside the baseline in the same sharing.

    python benchmarks/methods.py [--repeats 5] [--json FILE] [--write]

Needs only the package and PyTorch, takes some minutes on one CPU core, and runs on a GPU where there is one. Each
method is measured in its own choice of sharing; those that need a teacher with one student, and against one student
that has none. ``src/peerdistill/methods/catalog.py`` holds the ratios as the methods' cost.
"""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from measuring import DEVICE, alternating_medians, header
from page import give, header_text, put_section, table
from peerdistill import Cohort, methods, terms
from peerdistill.training.config import OptimizerConfig
from peerdistill.training.layout import memory_format
from peerdistill.training.schedules import make_optimizer

BACKBONE, PEERS, BATCH, CLASSES, SAMPLES, IMAGE_SIZE = "resnet32", 4, 64, 100, 50_000, 32
AFTER_RAMPS = 1000


class Batch(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class Setting(NamedTuple):
    """What methods must have in common to be compared: their cohort."""

    sharing: str
    peers: int

    def __str__(self) -> str:
        return f"{self.sharing}, {self.peers} peers" if self.peers > 1 else "one student"


def draw_batch(train_labels: torch.Tensor) -> Batch:
    generator = torch.Generator().manual_seed(0)
    indices = torch.randperm(SAMPLES, generator=generator)[:BATCH]
    images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return Batch(images.to(DEVICE), train_labels[indices].to(DEVICE), indices.to(DEVICE))


def setting_of(name: str) -> Setting:
    card = methods.find(name)
    return Setting(card.settings[0], card.cohort.get("peers", PEERS))


def training_step(name: str, setting: Setting, batch: Batch, train_labels: torch.Tensor) -> Callable[[], None]:
    """Return a function that does one step of training: forward, loss, backward and update, as the trainer does."""
    torch.manual_seed(0)
    card = methods.find(name)
    cohort = Cohort(BACKBONE, CLASSES, **{"sharing": setting.sharing, **card.cohort, "peers": setting.peers}).to(DEVICE)
    teacher = terms.Teacher(Cohort(BACKBONE, CLASSES, peers=1, sharing="network")) if card.taught else None
    method = methods.build(name, cohort, train_labels=train_labels, teacher=teacher).to(DEVICE)
    method.start_epoch(AFTER_RAMPS)
    for module in (cohort, *([teacher] if teacher else [])):
        module.to(memory_format=memory_format("auto", module, DEVICE, "32-true"))
    optimizer = make_optimizer([*cohort.parameters(), *method.parameters()], OptimizerConfig(), lr=0.01)

    def step() -> None:
        method(cohort(batch.images), batch.labels, batch.indices).total.backward()
        optimizer.step()
        method.after_step(cohort)
        optimizer.zero_grad(set_to_none=True)
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()  # what is timed is the work, not its queueing

    return step


def measure_setting(setting: Setting, names: Iterable[str], repeats: int) -> list[dict]:
    """Return a row for the baseline and for each method."""
    train_labels = torch.arange(SAMPLES) % CLASSES
    batch = draw_batch(train_labels)
    compared = ["baseline", *(name for name in names if name != "baseline")]
    steps = {name: training_step(name, setting, batch, train_labels) for name in compared}
    took = alternating_medians(steps, repeats)
    return [
        {"method": name, "setting": str(setting), "seconds": took[name], "cost": took[name] / took["baseline"]}
        for name in compared
    ]


def measure(repeats: int) -> list[dict]:
    """Return the rows of every setting that some method chooses."""
    groups: dict[Setting, list[str]] = {}
    for name in methods.names():
        groups.setdefault(setting_of(name), []).append(name)
    return [row for setting, names in groups.items() for row in measure_setting(setting, names, repeats)]


_INTRODUCTION = """
`python benchmarks/methods.py --write` measures and writes this part: a training step by each method beside the
baseline's with the same cohort, at the size of the paper's CIFAR-100 experiments. Batches, banks and networks are of
that size, images are noise. Each method is measured in its own choice of sharing, those that need a teacher with one
student. The first figure of a method is the cost that `peerdistill methods` shows.
"""


def text_of(report: dict) -> str:
    rows = [[row["method"], row["setting"], f"{row['seconds']:.3f}", f"{row['cost']:.2f}"] for row in report["steps"]]
    found = table(["method", "setting", "seconds a step", "cost"], rows)
    return "\n\n".join([_INTRODUCTION.strip(), header_text(report), found])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a training step by each method.")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats of each step")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--write", action="store_true", help="write them into docs/performance.md")
    options = parser.parse_args()
    about = header(
        sizes=f"{BACKBONE}, {PEERS} peers, batch {BATCH}, {CLASSES} classes, {SAMPLES} samples, float32",
        method=f"one step with weight ramps at their end; median of {options.repeats} alternating repeats after one "
        "untimed",
    )
    report = {"header": about, "steps": measure(options.repeats)}
    text = text_of(report)
    write = partial(put_section, "Methods", text) if options.write else None
    give(report, "methods", text, json_file=options.json, write=write)


if __name__ == "__main__":
    main()
