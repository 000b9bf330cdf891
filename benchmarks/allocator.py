"""Training steps on a CPU with freed memory kept for the next step, beside glibc's default.

    python benchmarks/allocator.py [--repeats 5] [--json FILE]

Needs only the package, PyTorch and glibc, and takes two minutes on two CPU cores.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch

from measuring import MIB, give, header, memory_mark, parser
from peerdistill import Cohort, fewshot
from peerdistill.cli.allocator import keep_freed_memory
from peerdistill.study.timing import median_seconds
from training_step import Step, draw_batch, update


def episode_step(ways: int, channels: int, side: int) -> Callable[[], None]:
    """Return a training step of a prototypical network with 1 shot and 5 queries."""
    episodes = fewshot.EpisodeConfig(ways=ways, shots=1, queries=5)
    images, labels = torch.randn(6 * ways, channels, side, side), torch.arange(ways).repeat_interleave(6)
    cohort = Cohort("conv4", ways, peers=1, in_channels=channels, image_size=side)
    method = fewshot.build_method("baseline", cohort, episodes, train_labels=labels)
    cohort.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(cohort.parameters(), lr=1e-3)

    def step() -> None:
        update(method(cohort(images), labels, labels).total, cohort, method, optimizer)

    return step


STEPS: dict[str, Callable[[], Callable[[], None]]] = {
    "prototypical network, 360 images of 28 x 28": partial(episode_step, 60, 1, 28),
    "prototypical network, 120 images of 84 x 84": partial(episode_step, 20, 3, 84),
    "4 x resnet32, mcl-okd, 64 images of 32 x 32": lambda: Step("mcl-okd", draw_batch()),
}


def measured(name: str, way: str, repeats: int) -> None:
    """Print the seconds of a step and the peak memory of this process."""
    if way == "kept":
        assert keep_freed_memory(), "this C library has no such setting"
    took = median_seconds({name: STEPS[name]()}, repeats)
    print(json.dumps({"seconds": took[name], "memory_mib": memory_mark() / MIB}))


def in_a_fresh_process(name: str, way: str, repeats: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--repeats", str(repeats), "--step", name, "--way", way]
    return json.loads(subprocess.check_output(command, text=True))


def compared(name: str, repeats: int) -> dict[str, float | str]:
    turns = [{way: in_a_fresh_process(name, way, repeats) for way in ("given back", "kept")} for _ in range(3)]
    own, kept = (
        {figure: statistics.median(turn[way][figure] for turn in turns) for figure in ("seconds", "memory_mib")}
        for way in ("given back", "kept")
    )
    return {
        "step": name,
        "given_back_ms": 1e3 * own["seconds"],
        "kept_ms": 1e3 * kept["seconds"],
        "ratio": own["seconds"] / kept["seconds"],
        "given_back_mib": own["memory_mib"],
        "kept_mib": kept["memory_mib"],
    }


def main() -> None:
    options = parser("Time of training steps with freed memory kept or returned.")
    options.add_argument("--step", choices=STEPS, help="measure only this step, in this process")
    options.add_argument("--way", choices=("given back", "kept"))
    asked = options.parse_args()
    if asked.step:
        measured(asked.step, asked.way, asked.repeats)
        return
    about = header(
        sizes="conv4: 1 shot, 5 queries; mcl-okd as in the paper's CIFAR-100 experiments; float32",
        method=f"median of 3 fresh processes in turns, each the median of {asked.repeats} steps after one untimed",
    )
    report = {"header": about, "steps": [compared(name, asked.repeats) for name in STEPS]}
    give(report, asked)


if __name__ == "__main__":
    main()
