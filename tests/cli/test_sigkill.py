import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_that_was_killed_and_resumed_is_the_one_that_was_not():
    script = Path(__file__).with_name("sigkill.py")
    done = subprocess.run([sys.executable, script, "--moments", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "3 of 3 equal to the last bit"
