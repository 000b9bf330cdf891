"""A short form of the campaigns: each kind of fault that no other test injects, once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peerdistill import methods
from support.digits import digit_images, write_npz

FEW_SHOT = ("baseline", "rkd-da", "one", "mcl-okd")
FOLDER = Path(__file__).parent


def run(*words: str | Path, cwd: Path | None = None) -> list[str]:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


OF_ROOT = ("full disk",) if os.geteuid() == 0 else ()
SHORT = ("no file handles", "no memory", "clock jumps", "second process", "NaN in one peer", *OF_ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "options"),
    [pytest.param(SHORT, (), marks=pytest.mark.campaign), (("SIGKILL",), ("--every_option", "--per_class", "60"))],
)
def test_a_run_that_a_fault_struck_equals_one_that_was_left_alone(faults, options, tmp_path):
    chosen = [word for fault in faults for word in ("--fault", fault)]
    printed = run(FOLDER / "campaign.py", "--times", "1", *chosen, *options, "--json", "record.json", cwd=tmp_path)
    summaries = [line for line in printed if line.endswith("bitwise equal")]
    assert summaries == [f"{fault}: 1 of 1 bitwise equal" for fault in faults]
    recorded = json.loads((tmp_path / "record.json").read_text())["faults"]
    assert {fault: (found["injected"], found["wrong"]) for fault, found in recorded.items()} == dict.fromkeys(
        faults, (1, [])
    )


@pytest.mark.campaign
def test_every_method_resumes_after_a_kill_evaluates_and_exports(tmp_path):
    images, labels = digit_images(3, 100)
    digits = write_npz(tmp_path / "digits.npz", images, labels)
    images, labels = digit_images(10, 100)
    ten = write_npz(tmp_path / "ten.npz", images.repeat(2, axis=1).repeat(2, axis=2), labels)
    runs = [f"train {name}" for name in methods.names()] + [f"fewshot {name}" for name in FEW_SHOT]
    assert run(FOLDER / "every_method.py", digits, ten) == [f"{name}: killed after step  2, equal" for name in runs]
