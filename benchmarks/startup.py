"""Time from a command to its answer, and from `peerdistill train digits` to its first step.

    python benchmarks/startup.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch. All times are those of fresh processes, from start to end or, for training, to the
end of the optimiser's first step.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec

from measuring import give, header, parser, target
from peerdistill.study.timing import median_seconds

_COMMAND = "from peerdistill.cli import entry; entry()"
# The processes exit immediately at the point up to which they are timed.
_IMPORT = "import os, torch; os._exit(0)"
_TO_FIRST_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook

register_optimizer_step_post_hook(lambda *_: os._exit(0))
from peerdistill.cli import main
main(sys.argv[1:])
raise AssertionError("training ended before its first step")
"""
# As in an environment without torchmetrics, which Fabric imports if it is installed.
_WITHOUT_TORCHMETRICS = f"import sys; sys.modules['torchmetrics'] = None{_TO_FIRST_STEP}"
IMPORT, TRAINING = "import torch", "peerdistill train digits: first step"
FIRST_STEP_TARGET_S, ANSWER_TARGET_S = 2.0, 0.5
ANSWERS = {
    "peerdistill --help": ["--help"],
    "peerdistill methods": ["methods"],
    "peerdistill train --help": ["train", "--help"],
    "an unknown option": ["train", "digits", "--epoch", "3"],
    "a value out of range": ["train", "digits", "--lr", "0"],
    "a folder that is missing": ["train", "photos/2026"],
}


def process(code: str, *words: str, cwd: str) -> None:
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2):
        raise RuntimeError(done.stderr)


def measure(repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:

        def timed(code: str, *words: str) -> Callable[[], None]:
            return lambda: process(code, *words, cwd=folder)

        def training(code: str) -> Callable[[], None]:
            return lambda: process(code, "train", "digits", "--run", tempfile.mkdtemp(dir=folder), cwd=folder)

        runs = {IMPORT: timed(_IMPORT), TRAINING: training(_WITHOUT_TORCHMETRICS)}
        if find_spec("torchmetrics") is not None:
            runs[f"{TRAINING}, torchmetrics installed"] = training(_TO_FIRST_STEP)
        runs |= {name: timed(_COMMAND, *words) for name, words in ANSWERS.items()}
        return median_seconds(runs, repeats)


def rows_of(took: dict[str, float]) -> dict:
    """Return a row for each process, and the figures beside their targets."""
    alone = took[IMPORT]
    rows = [
        {"process": name, "seconds": value, "beyond_import": value - alone if name.startswith(TRAINING) else None}
        for name, value in took.items()
    ]
    return {
        "processes": rows,
        "first_step": target(took[TRAINING] - alone, most=FIRST_STEP_TARGET_S),
        "slowest_answer": target(max(took[name] for name in ANSWERS), most=ANSWER_TARGET_S),
    }


def main() -> None:
    options = parser("Time until a command answers or training begins.").parse_args()
    about = header(
        sizes="train digits with its recipe: mcl-okd, 4 x resnet20, branch",
        method=f"seconds of a fresh process; median of {options.repeats} alternating repeats after one untimed",
    )
    give({"header": about, **rows_of(measure(options.repeats))}, options)


if __name__ == "__main__":
    main()
