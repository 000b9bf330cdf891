"""What a fault is, and how it is injected into a training at a random moment."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainings import CONFIG, Ended, Forked, Trainings, what_is_left

from peerdistill.errors import UserError
from peerdistill.training import Checkpoints

FAILURE, USER_ERROR = 1, 2
_TOLD = "peerdistill: "


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Attributes:
        seconds: When it was injected, after the first file of the training had appeared.
        code: How the training ended.
        told: The last line that it wrote to stderr.
        left: Where it would resume.
        wrong: What should not have happened; empty if nothing was lost.
    """

    seconds: float
    code: int | None
    told: str
    left: str
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        verdict = f"WRONG: {'; '.join(self.wrong)}" if self.wrong else "equal"
        return f"{self.seconds:7.3f} s   exit code {self.code!s:>4}   {self.left:<34} {verdict}"


class Fault:
    """A fault of the machine, of the data or of the files of a run.

    A training that it strikes ends by one of ``codes``, and if that is an error, with one sentence. What is left under
    its final name is complete. After the fault is lifted, the run is resumed, and its files equal those of a run
    that was left alone.

    Attributes:
        codes: Exit codes of a training that was struck; a training that ends with another 0 was missed.
        needs_root: Whether only root can inject it.
        pictures: Whether the training is one on pictures.
    """

    codes: frozenset[int] = frozenset({FAILURE})
    needs_root = False
    pictures = False

    @contextmanager
    def place(self, folder: Path, rng: random.Random) -> Iterator[Path]:
        """Yield the run folder."""
        del rng
        yield folder / "run"

    def prepare(self, rng: random.Random, run: Path) -> Callable[[], object]:
        """Return what the process calls before it trains."""
        del rng, run
        return lambda: None

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Inject the fault while the process trains."""

    def lift(self, run: Path, rng: random.Random) -> list[str]:
        """End the fault, before the run is resumed, and return what was wrong about it."""
        del run, rng
        return []


def inject(fault: Fault, trainings: Trainings, folder: Path, rng: random.Random) -> Outcome | None:
    """Train, inject a fault, resume and compare; None if the training had ended before, or was not impaired."""
    folder.mkdir()
    with fault.place(folder, rng) as run:
        training = trainings.start(run, fault.prepare(rng, run))
        seconds = rng.uniform(0, trainings.seconds)
        moment = training.wait_for(run / CONFIG) + seconds
        time.sleep(max(0.0, moment - time.perf_counter()))
        fault.strike(training, run, rng)
        end = training.end()
        wrong = [*_wrong_end(end, fault.codes), *_damaged(run)]
        left = what_is_left(run)
        wrong += fault.lift(run, rng)
        if end.code == 0 and 0 not in fault.codes:
            return None
        resumed = trainings.start(run).end()
        if resumed.code == 0:
            wrong += [f"{name} differs" for name in trainings.differences(run)]
        else:
            wrong.append(f"not resumed: {resumed}")
        return Outcome(seconds, end.code, (end.told.splitlines() or [""])[-1], left, tuple(wrong))


def _wrong_end(end: Ended, codes: frozenset[int]) -> Iterator[str]:
    if end.code not in codes:
        yield f"exit code {end.code}: {end.told[-2000:]}"
    lines = end.told.splitlines()
    if end.code in (FAILURE, USER_ERROR) and not (lines and all(line.startswith(_TOLD) for line in lines)):
        yield f"no sentence: {end.told[-2000:]}"


def _damaged(run: Path) -> Iterator[str]:
    """Yield the checkpoints under their final names that are not complete."""
    checkpoints = Checkpoints(run / "checkpoints")
    for file in checkpoints.folder.glob("*.pt"):
        try:
            checkpoints.load(file)
        except UserError as error:
            yield str(error)
