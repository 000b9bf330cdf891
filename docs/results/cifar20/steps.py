"""The time of a training step of each cell, relative to a step of the baseline in the same setting.

    python docs/results/cifar20/steps.py

Writes steps.json beside this file: seconds, measured in turns in one process, and their ratio. Images are noise;
networks, batch size, data size and precision are those of compare.py.
"""

import json
from pathlib import Path

import torch
from compare import CELLS, IMAGES_A_CLASS, Cell

from peerdistill import Cohort, methods
from peerdistill.study.timing import median_seconds
from peerdistill.training.config import OptimizerConfig
from peerdistill.training.optimizers import make_optimizer, parameter_groups

CLASSES, BATCH, REPEATS = 20, 64, 15
AFTER_RAMPS = 1000


class Step:
    """Forward pass, loss, backward pass and update."""

    def __init__(self, cell: Cell):
        torch.manual_seed(0)
        chosen = dict(zip(cell.options[::2], cell.options[1::2], strict=True))
        name, sharing = chosen["--method"], chosen.get("--sharing", "branch")
        labels = torch.arange(CLASSES * IMAGES_A_CLASS) % CLASSES
        sizes = {"peers": int(chosen.get("--peers", 4)), "sharing": sharing, **methods.find(name).cohort}
        self.cohort = Cohort("resnet20", CLASSES, **sizes).to(memory_format=torch.channels_last)
        self.method = methods.build(name, self.cohort, train_labels=labels)
        self.method.start_epoch(AFTER_RAMPS)
        self.indices = torch.randperm(len(labels))[:BATCH]
        self.labels = labels[self.indices]
        self.images = torch.randn(BATCH, 3, 32, 32)
        self.optimizer = make_optimizer(
            parameter_groups(self.cohort, self.method.parameters(), OptimizerConfig()), OptimizerConfig(), 0.01
        )

    def __call__(self) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.method(self.cohort(self.images), self.labels, self.indices)
        loss.total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def baseline_of(cell: Cell) -> str:
    """Return the cell with which a cell's step is compared; for a tree it is the baseline with branches."""
    return "baseline-network" if cell.setting == "network" else "baseline-branch"


def main() -> None:
    steps = {f"{cell.label}-{cell.setting}": Step(cell) for cell in CELLS}
    took = median_seconds(steps, REPEATS)
    baselines = {f"{cell.label}-{cell.setting}": took[baseline_of(cell)] for cell in CELLS}
    report = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "repeats": REPEATS,
        "steps": {name: {"seconds": took[name], "over_baseline": took[name] / baselines[name]} for name in steps},
    }
    text = json.dumps(report, indent=2)
    print(text)
    (Path(__file__).parent / "steps.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
