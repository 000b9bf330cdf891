"""Command lines that run in the process of the tests."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command line."""

    code: int
    stdout: str
    stderr: str


def run(*words: str | Path) -> Outcome:
    """Run ``peerdistill`` with these words."""
    from peerdistill.cli import main  # after the shape checks are installed

    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main([str(word) for word in words])
    return Outcome(code, stdout.getvalue(), stderr.getvalue())
