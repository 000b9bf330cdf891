import subprocess
import sys
from pathlib import Path

import pytest

from peerdistill import methods

FEW_SHOT = ("baseline", "rkd-da", "one", "mcl-okd")


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--moments", "3"), ("--moments", "2", "--every_option")])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(options):
    script = Path(__file__).with_name("sigkill.py")
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{options[1]} of {options[1]} bitwise equal"


@pytest.mark.slow
def test_every_method_resumes_after_a_kill_evaluates_and_exports(home):
    script = Path(__file__).with_name("sigkill_every_method.py")
    words = [sys.executable, script, home / "digits.npz", home / "ten.npz"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [f"train {name}" for name in methods.names()] + [f"fewshot {name}" for name in FEW_SHOT]
    assert done.stdout.splitlines() == [f"{name}: killed after step  2, equal" for name in runs]
