"""Trainings of a study in forked processes: the real command line, without the seconds that importing PyTorch takes."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from peerdistill.study.runner.job import Job


class ForkedJob(Job):
    """A job whose child is a fork of this process."""

    def __init__(self, words: Sequence[str], log: Path, threads: int):
        del threads
        self._log = log
        self._stopped = False
        log.parent.mkdir(parents=True, exist_ok=True)
        self._child = _Child(words, log)


class _Child:
    """What :class:`Job` uses of ``subprocess.Popen``."""

    def __init__(self, words: Sequence[str], log: Path):
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _train(words, log)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (60 if timeout is None else timeout)
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 60)
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


def _train(words: Sequence[str], log: Path) -> None:
    """Run a command line, and end this process with its exit code."""
    code = 70
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        from peerdistill.cli import main

        code = main([*words, "--loggers=[]"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
