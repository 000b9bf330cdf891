"""Faults of what training reads and has written: pictures, checkpoints, numbers."""

import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from fault import FAILURE, USER_ERROR, Fault
from machine import mount
from torch import nn
from trainings import Forked

from peerdistill.training.learner import Learner


class PictureFault(Fault):
    """A fault of the folder of pictures or of their cache."""

    codes = frozenset({FAILURE, USER_ERROR})
    pictures = True


class DataGone(PictureFault):
    """A picture, a class folder or the whole folder disappears."""

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Rename it."""
        root = _pictures(run)
        kinds = sorted(path for path in root.iterdir() if path.is_dir())
        picture = rng.choice(sorted(rng.choice(kinds).iterdir()))
        self._gone = rng.choice((picture, rng.choice(kinds), root))
        self._gone.rename(run.parent / "gone")

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Rename it back."""
        (run.parent / "gone").rename(self._gone)
        return []


class DataDamaged(PictureFault):
    """A third of the pictures is cut short or overwritten with noise."""

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Damage them."""
        files = sorted(_pictures(run).rglob("*.png"))
        self._before = {file: file.read_bytes() for file in rng.sample(files, len(files) // 3)}
        for file, content in self._before.items():
            cut = content[: rng.randrange(len(content) // 2)]
            file.write_bytes(rng.choice((cut, cut + rng.randbytes(len(content) - len(cut)))))

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Repair them."""
        for file, content in self._before.items():
            file.write_bytes(content)
        return []


class FullCache(PictureFault):
    """The file system of the picture cache has room for a few pictures."""

    codes = frozenset({0})
    needs_root = True

    @contextmanager
    def place(self, folder: Path, rng: random.Random) -> Iterator[Path]:
        """Mount a small file system in place of the cache."""
        cache = folder.parent / "cache"
        mount("-t", "tmpfs", "-o", f"size={rng.randint(4, 40)}k", "tmpfs", cache)
        try:
            yield folder / "run"
        finally:
            subprocess.run(["umount", cache], check=True)


def _pictures(run: Path) -> Path:
    return run.parent.parent / "pictures"


class FullExport(Fault):
    """The file system of an exported file is too small for it."""

    codes = frozenset({0})
    needs_root = True

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Export without enough room and see that nothing is left, then with room."""
        disk = run.parent / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", f"size={4 * rng.randint(1, 60)}k", "tmpfs", disk)
        try:
            words = ("export", str(run), "--output", str(disk / "leader.onnx"))
            full = Forked(words, run.parent / "full.stderr").end()
            left = list(disk.iterdir())
            mount("-o", "remount,size=64m", disk)
            after = Forked(words, run.parent / "after.stderr").end()
        finally:
            subprocess.run(["umount", disk], check=True)
        wrong = [] if full.code == FAILURE and full.told.count("\n") == 1 else [f"full: {full}"]
        return wrong + [f"left: {left}"] * bool(left) + [f"with room: {after}"] * (after.code != 0)


class DamagedCheckpoint(Fault):
    """The process is killed, and then the last checkpoint is damaged in one of its regions.

    Args:
        damage: Returns the damaged content.
    """

    codes = frozenset({-signal.SIGKILL})

    def __init__(self, damage: Callable[[bytes, random.Random], bytes]):
        self._damage = damage

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Kill the process when there are two checkpoints."""
        _kill_with(run / "checkpoints" / "previous.pt", training)

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """Damage the last checkpoint."""
        last = run / "checkpoints" / "last.pt"
        content = last.read_bytes()
        last.unlink()  # it may have another name
        last.write_bytes(self._damage(content, rng))
        return []


def _kill_with(file: Path, training: Forked) -> None:
    """Kill the process as soon as a file exists."""
    training.wait_for(file)
    training.process.kill()


def cut_short(content: bytes, rng: random.Random) -> bytes:
    """Return the start of a file, of any length."""
    return content[: rng.randrange(len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip a bit of the first record, of the data, of the list of records or of the digest at the end."""
    directory = content.index(b"PK\x01\x02")
    regions = ((0, 256), (0, directory), (directory, len(content)), (len(content) - 64, len(content)))
    at = rng.randrange(*rng.choice(regions))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


class ForeignCheckpoint(Fault):
    """The process is killed, and a checkpoint of a run with another seed is put in place of its last one."""

    codes = frozenset({-signal.SIGKILL})

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Kill the process when it has written a checkpoint."""
        _kill_with(run / "checkpoints" / "last.pt", training)

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """See that the foreign checkpoint is refused, and put the own one back."""
        last, own = run / "checkpoints" / "last.pt", run.parent / "own.pt"
        last.rename(own)
        shutil.copy(self._foreign(run), last)
        end = Forked(("train", "--resume", "--run", str(run)), run.parent / "foreign.stderr").end()
        own.replace(last)
        refused = end.code == USER_ERROR and "do not belong together" in end.told
        return [] if refused else [f"not refused: {end}"]

    def _foreign(self, run: Path) -> Path:
        return run.parent.parent / "before" / "checkpoints" / "last.pt"


class NotFinite(Fault):
    """A random weight of one peer becomes NaN before a random step."""

    def prepare(self, rng: random.Random, run: Path) -> Callable[[], object]:
        """Let the step set it."""
        at, seed, step = rng.randint(1, 33), rng.randrange(2**31), Learner.step

        def poisoned(learner: Learner, group, number: int):
            if number == at:
                _poison(learner.cohort, seed)
            return step(learner, group, number)

        return lambda: setattr(Learner, "step", poisoned)

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Nothing: the step does it."""


def _poison(cohort: nn.Module, seed: int) -> None:
    draws = random.Random(seed)
    with torch.no_grad():
        weight = draws.choice(list(cohort.parameters())).view(-1)
        weight[draws.randrange(len(weight))] = torch.nan


FAULTS: dict[str, Fault] = {
    "data gone": DataGone(),
    "data damaged": DataDamaged(),
    "full disk of the cache": FullCache(),
    "full disk of an export": FullExport(),
    "checkpoint cut short": DamagedCheckpoint(cut_short),
    "checkpoint with a flipped bit": DamagedCheckpoint(flipped),
    "checkpoint of another run": ForeignCheckpoint(),
    "NaN in one peer": NotFinite(),
}
