"""Faults of the machine: no room, no permission, no file handles, no memory, a dead worker, a clock that jumps."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fault import FAILURE, USER_ERROR, Fault
from trainings import Forked

_KIB = 2**10
_NOBODY = 65534
_YEAR = 365.25 * 24 * 3600


class FullDisk(Fault):
    """A file system that is too small for the run: what is written last, from configuration to result, is not."""

    needs_root = True

    @contextmanager
    def place(self, folder: Path, rng: random.Random) -> Iterator[Path]:
        """Yield a folder in a file system of 8 KiB to 12 MiB, in memory."""
        disk = folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", f"size={rng.randint(8, 12_000)}k", "tmpfs", disk)
        try:
            yield disk / "run"
        finally:
            subprocess.run(["umount", disk], check=True)

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Make room."""
        mount("-o", "remount,size=64m", run.parent)
        return []


def mount(*words: str | Path) -> None:
    """Mount a file system."""
    subprocess.run(["mount", *words], check=True)


class ReadOnly(Fault):
    """The folders of the run cannot be written to any more, by a user who is not root."""

    needs_root = True
    codes = frozenset({FAILURE, USER_ERROR})

    @contextmanager
    def place(self, folder: Path, rng: random.Random) -> Iterator[Path]:
        """Yield a folder that belongs to the user nobody."""
        for parent in (folder, *folder.parents):  # temporary folders are private
            if parent.stat().st_mode & 0o755 != 0o755 and parent.owner() == "root":
                parent.chmod(0o755)
        shutil.chown(folder, _NOBODY, _NOBODY)
        yield folder / "run"

    def prepare(self, rng: random.Random, run: Path) -> Callable[[], object]:
        """Become the user nobody."""
        return lambda: (os.setgid(_NOBODY), os.setuid(_NOBODY))

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Take the permission to write."""
        for folder in _folders(run):
            folder.chmod(0o555)

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Give the permission back."""
        for folder in _folders(run):
            folder.chmod(0o755)
        return []


def _folders(run: Path) -> list[Path]:
    return [run, *(path for path in run.rglob("*") if path.is_dir())] if run.exists() else []


class NoHandles(Fault):
    """The process may open no further file."""

    codes = frozenset({FAILURE})

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Lower the limit to a number that is at most the next free one; files that are open stay open."""
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            used = {int(name) for name in os.listdir(f"/proc/{training.pid}/fd")}  # noqa: PTH208
            free = next(number for number in range(len(used) + 1) if number not in used)
            _limit(training, resource.RLIMIT_NOFILE, rng.randint(3, max(3, free)))


class NoMemory(Fault):
    """The process gets hardly any memory beyond what it has."""

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Lower the limit on the address space."""
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            pages = int(Path(f"/proc/{training.pid}/statm").read_text().split()[0])
            _limit(training, resource.RLIMIT_AS, pages * resource.getpagesize() + rng.randrange(512) * _KIB)


def _limit(training: Forked, which: int, value: int) -> None:
    resource.prlimit(training.pid, which, (value, resource.prlimit(training.pid, which)[1]))


class ClockJump(Fault):
    """The clock jumps by up to ten years, back and forth, and then the process is killed.

    The files that it leaves get times of the past and of the future, in any order.
    """

    codes = frozenset({-signal.SIGKILL})

    def prepare(self, rng: random.Random, run: Path) -> Callable[[], object]:
        """Let every call of the clock return another time."""
        draws, real, real_ns = random.Random(rng.random()), time.time, time.time_ns

        def jump() -> None:
            time.time = lambda: real() + draws.uniform(-10, 10) * _YEAR
            time.time_ns = lambda: real_ns() + int(draws.uniform(-10, 10) * _YEAR * 1e9)

        return jump

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Kill the process."""
        training.process.kill()

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Give the files other times."""
        for file in run.rglob("*"):
            moment = time.time() + rng.uniform(-10, 10) * _YEAR
            os.utime(file, (moment, moment))
        return []


class SecondProcess(Fault):
    """A second process wants to train in the folder, by resuming or anew."""

    codes = frozenset({0})

    def __init__(self) -> None:
        self._wrong: list[str] = []

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Start it, and see that it is refused."""
        words = rng.choice((("--resume",), ("digits",)))
        second = Forked(("train", *words, "--run", str(run)), run.parent / "second.stderr")
        end = second.end()
        refused = end.code == USER_ERROR and ("in use" in end.told or "holds a run" in end.told)
        self._wrong = [] if refused else [f"not refused: {end}"]

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Report whether it was refused."""
        return self._wrong


class DeadWorker(Fault):
    """A data worker is killed."""

    pictures = True

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Kill one of the workers, as soon as there are any."""
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children")
        while training.process.exitcode is None:
            workers = [int(pid) for pid in children.read_text().split()]
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
                return
            time.sleep(0.01)


FAULTS: dict[str, Fault] = {
    "full disk": FullDisk(),
    "read-only folder": ReadOnly(),
    "no file handles": NoHandles(),
    "no memory": NoMemory(),
    "clock jumps": ClockJump(),
    "second process": SecondProcess(),
    "dead data worker": DeadWorker(),
}
