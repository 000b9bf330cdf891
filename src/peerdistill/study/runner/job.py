"""The training of one cell: a child process that runs the ordinary command line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from peerdistill.errors import Failure, shortened
from peerdistill.files import write_error
from peerdistill.processes import ANOTHER_FAILED, usable_cores
from peerdistill.study.record import Status

_PREFIX = "peerdistill: "  # of the sentences that the command line writes to stderr
_HINT = "; resume with: "  # a study is continued by its own command
_TRACEBACK = "Traceback (most recent call last):"
_LONGEST_REASON = 500
_THREADS = "OMP_NUM_THREADS"  # read by PyTorch


@dataclass(frozen=True)
class Outcome:
    """How a training ended, and why if it did not reach its end."""

    status: Status
    reason: str | None = None


class Job:
    """A child process that trains one run.

    It is started in a session of its own: Ctrl-C in the terminal reaches only this process, which stops its children
    in order. If this process is killed, the child goes on, and the lock of its run folder excludes others.

    Args:
        words: Command and options: ``["train", "digits", "--run", "runs/a"]``.
        log: File for everything that the child prints.
        threads: Number of threads of PyTorch.
    """

    def __init__(self, words: Sequence[str], log: Path, threads: int):
        self._log = log
        self._stopped = False
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "peerdistill", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=_environment(threads),
                    start_new_session=True,
                )
        except OSError as error:
            raise write_error(log, error) from error

    @property
    def process(self) -> int:
        """Number of the child process."""
        return self._child.pid

    def poll(self) -> Outcome | None:
        """Return how the training ended, or None while it runs."""
        code = self._child.poll()
        return None if code is None else self._outcome(code)

    def ends_within(self, seconds: float) -> bool:
        """Wait for the end of the training, and return whether it has come."""
        try:
            self._child.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Ask the child to write a checkpoint and end; a second time, to end at once."""
        self._stopped = True
        with suppress(ProcessLookupError):
            self._child.terminate()

    def kill(self) -> None:
        """End the child and its data workers without a checkpoint."""
        self._stopped = True
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._child.pid, signal.SIGKILL)
            else:
                self._child.kill()
        self._child.wait()

    def _outcome(self, code: int) -> Outcome:
        if code == 0:
            with suppress(OSError):
                self._log.unlink()
            return Outcome("finished")
        if self._stopped:
            return Outcome("interrupted", "stopped before its end")
        return Outcome("failed", _reason(code, self._log))


class Claim:
    """The right of this process to train one cell: two studies that share a folder never train the same cell twice.

    Args:
        file: The lock file of the cell.
    """

    def __init__(self, file: Path):
        self._file = file
        self._lock = FileLock(file)

    def take(self) -> bool:
        """Return whether the cell is ours now; False if another process has it.

        Raises:
            WriteError: The folder of the lock can't be written to.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except NotImplementedError:  # a file system without locks
            return True
        except OSError as error:
            raise write_error(self._file, error) from error
        return True

    def release(self) -> None:
        """Let others train the cell."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            self._lock.release()


def threads_of(jobs: int) -> int:
    """Return the number of threads of each of so many jobs: as OMP_NUM_THREADS says, or its share of the cores.

    Example:
        >>> threads_of(1_000_000)
        1
    """
    asked = os.environ.get(_THREADS, "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return max(1, usable_cores() // jobs)


def seconds_to_start(threads: int) -> float:
    """Return how long a child process of a job needs until it can load its data: Python starts and imports packages."""
    since = time.perf_counter()
    words = [sys.executable, "-c", "import peerdistill.runs.train"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, env=_environment(threads))
    return time.perf_counter() - since


def _environment(threads: int) -> Mapping[str, str]:
    return {**os.environ, _THREADS: str(threads)}


def _reason(code: int, log: Path) -> str:
    """Return in a sentence why a child failed: its own error if it wrote one, or that of a process that it started."""
    lines = [line for line in _text(log).splitlines() if line.strip()]
    sentences = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    lost_one = bool(sentences) and sentences[-1].startswith(ANOTHER_FAILED)
    if code < 0 and not lost_one:
        name = signal.Signals(-code).name
        return f"ended by {name}, perhaps because memory was exhausted" if name == "SIGKILL" else f"ended by {name}"
    if sentences and _TRACEBACK not in lines:
        return shortened(sentences[-1].partition(_HINT)[0], _LONGEST_REASON)
    what = "one of its processes failed" if lost_one else f"exit code {code}"
    last = [f": {line.strip()}" for line in lines if not line.startswith(_PREFIX)][-1:]
    return shortened(f"{what}{''.join(last)} (see {log})", _LONGEST_REASON)


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(f"{log} can't be read") from error
