"""How long it takes from a command to its answer, and from `peerdistill train digits` to the first step.

    python benchmarks/startup.py [--repeats 5] [--json FILE] [--write]

Needs only the package and PyTorch. Every figure is one of fresh processes, from their start to their end or, in
training, until the optimiser has done its first step.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec

import data_report
from measuring import header
from page import give, header_text, parser
from peerdistill.study.timing import median_seconds

_COMMAND = "from peerdistill.cli import entry; entry()"
# Processes end at once: what is timed is how long it took until then.
_IMPORT = "import os, torch; os._exit(0)"
_TO_FIRST_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook

register_optimizer_step_post_hook(lambda *_: os._exit(0))
from peerdistill.cli import main
main(sys.argv[1:])
raise AssertionError("training ended before its first step")
"""
# As where the package was installed alone: Fabric imports torchmetrics wherever it finds it.
_WITHOUT_TORCHMETRICS = f"import sys; sys.modules['torchmetrics'] = None{_TO_FIRST_STEP}"
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

        runs = {"import torch": timed(_IMPORT), "first step": training(_WITHOUT_TORCHMETRICS)}
        if find_spec("torchmetrics") is not None:
            runs["first step, torchmetrics installed"] = training(_TO_FIRST_STEP)
        runs |= {name: timed(_COMMAND, *words) for name, words in ANSWERS.items()}
        return median_seconds(runs, repeats)


def main() -> None:
    options = parser("Time until a command answers or training begins.").parse_args()
    about = header(
        sizes="train digits with its recipe: mcl-okd, 4 x resnet20, branch",
        method=f"seconds of a fresh process; median of {options.repeats} alternating repeats after one untimed",
    )
    report = {"header": about, "seconds": measure(options.repeats)}
    text = f"{header_text(report)}\n\n{data_report.startup_text(report['seconds'])}"
    write = data_report.write_section if options.write else None
    give(report, "startup", text, json_file=options.json, write=write)


if __name__ == "__main__":
    main()
