"""What a process leaves behind that is killed at a moment of the test's choice."""

import signal
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, signal, sys
from pathlib import Path
from peerdistill.files import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("a part")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_scratch_folder(parent: Path) -> Path:
    """Kill a process that has a scratch folder in ``parent``, and return the folder."""
    before = set(parent.iterdir())
    done = subprocess.run([sys.executable, "-c", _PROGRAM, parent], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = set(parent.iterdir()) - before
    assert (left / "half").exists()
    return left
