"""How many epochs fit into a time budget on this machine, and whether peers are the best use of it."""

import gc
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from peerdistill import methods
from peerdistill.config.budget import Budget
from peerdistill.config.config import Config, options_of
from peerdistill.config.kinds import KINDS
from peerdistill.config.options import TeacherConfig
from peerdistill.config.peer_options import OF_PEERS
from peerdistill.errors import PeerdistillWarning, UserError, cause
from peerdistill.evaluation import Evaluator
from peerdistill.files import scratch_folder
from peerdistill.runs.json_file import read_object
from peerdistill.runs.pace import EPOCHS, Pace, pace_of
from peerdistill.runs.peers_pay import PeersPay, study_for
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.training import Trainer
from peerdistill.training.config import WHEN_PEERS_LEARN, TrainingConfig

Opened = Callable[[Task, Run], AbstractContextManager[tuple[Trainer, Mapping[str, Evaluator | None]]]]
"""Opens the trainer of a task before its first step, and its evaluators."""

_RESERVE = 0.03  # of the budget: the speed of a machine changes
_RESERVE_S = 2.0  # a process takes this long to start and to end beside what is measured

# Measured for each candidate: this share of the budget, and at most so many seconds.
_MEASURED, _MEASURED_S = 0.04, 20.0

_MOST_EPISODES = 10**9

# Options that say which peers there are; those of the method do, too.
_OF_PEERS = OF_PEERS | {"method", "teacher"}


@dataclass(frozen=True)
class Candidate:
    """What could be trained.

    Attributes:
        config: Its configuration; the number of epochs is not planned yet.
        pace: Its pace.
    """

    config: Config
    pace: Pace

    @property
    def name(self) -> str:
        """What messages call it: "one network", or its number of peers and its method."""
        cohort = self.config.cohort
        if cohort.peers == 1:
            return "one network" if self.config.method == "baseline" else f"one network ({self.config.method})"
        kind = "branches" if cohort.sharing == "branch" else "peers"
        return f"{cohort.peers} {kind} ({self.config.method})"

    def seconds(self, epochs: int) -> float:
        """Return the seconds of a run with a number of epochs, which the configuration must allow."""
        return self.pace.beside_epochs + self.pace.epochs(replace(self.config.training, epochs=epochs))

    @property
    def epoch(self) -> float:
        """Seconds of an epoch: the mean of a long run, if only the leader learns in some steps."""
        return self.pace.epochs(replace(self.config.training, epochs=EPOCHS)) / EPOCHS

    def epochs_in(self, seconds: float) -> int:
        """Return the largest number of epochs that fits into a time, 0 if there is none."""
        of_episodes = self.config.episodes
        fewest = self.config.training.fewest_epochs
        most = EPOCHS if of_episodes is None else _MOST_EPISODES // of_episodes.episodes_per_epoch
        fits = bisect_right(range(fewest, most + 1), seconds, key=self.seconds)
        return fits and fewest + fits - 1

    def length(self, epochs: int | float) -> str:
        """Return a number of epochs as a text: epochs, or the episodes of a few-shot run."""
        of_episodes = self.config.episodes
        unit, count = ("epoch", epochs) if of_episodes is None else ("episode", epochs * of_episodes.episodes_per_epoch)
        return f"{count:,.0f} {unit}{'' if round(count) == 1 else 's'}"


@dataclass(frozen=True)
class Plan:
    """A run that ends within a budget.

    Attributes:
        config: Its configuration.
        budget: The budget in seconds.
        estimated: Seconds from the start of the clock until the result is written.
        reserve: Seconds of the budget that were left out when the epochs were counted.
        candidates: What was measured.
        reasons: Why, in sentences.
    """

    config: Config
    budget: float
    estimated: float
    reserve: float
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "budget_seconds": self.budget,
            "estimated_seconds": self.estimated,
            "reserve_seconds": self.reserve,
            "method": self.config.method,
            "peers": self.config.cohort.peers,
            "epochs": self.config.training.epochs,
            "measured": {one.name: {**asdict(one.pace), "epoch": one.epoch} for one in self.candidates},
            "reasons": list(self.reasons),
        }


def with_plan_of(config: Config, started: Config) -> Config:
    """Return the configuration of a resumed run: what nobody chose, and a budget would plan, is that of the run."""
    if config.length in config.implied:
        config = config.with_epochs(started.training.epochs)
    if not _leaves_peers_open(config):
        return config
    cohort = replace(config.cohort, peers=started.cohort.peers, sharing=started.cohort.sharing)
    return replace(config, method=started.method, options=started.options, cohort=cohort)


def check_same_budget(run: Run, budget: Budget) -> None:
    """Raise UserError if a run that is resumed was not planned for this budget."""
    planned_for = (read_object(run.plan_file) or {}).get("budget_seconds")
    if planned_for != budget.seconds:
        was = "without budget" if planned_for is None else f"with budget {Budget(planned_for)}"
        raise UserError(f"{run.path} was started {was}, found {budget}: a resumed run keeps its plan, leave out budget")


def plan_for(task: Task, budget: Budget, run: Run, opened: Opened) -> Plan:
    """Measure a few steps, and return the run that makes the best use of a budget.

    Nothing is left behind; checkpoints are timed in a temporary folder beside the run folder.

    Args:
        task: The task, with the configuration as the user gave it.
        budget: The budget; its clock runs.
        run: The run, whose folder need not exist.
        opened: Opens the trainer of a task.

    Raises:
        UserError: The budget has no room for one epoch, or several processes train together.
        Interrupted: After Ctrl-C.
        Failure: A full disk, a killed data worker and the like.
    """
    study = study_for(task.config) if _leaves_peers_open(task.config) else None
    configs = [task.config] if study is None else [alone(task.config), task.config]
    seconds = min(_MEASURED * budget.seconds, _MEASURED_S)
    with _folder_beside(run) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", PeerdistillWarning)  # the run itself repeats them
        found = [_measured(task, config, seconds, opened, folder) for config in configs]
    first = max(one.pace.first for one in found)  # the first candidate has read the images of the others
    candidates = [replace(one, pace=replace(one.pace, first=first)) for one in found]
    return plan_of(candidates, budget, study)


def plan_of(candidates: Sequence[Candidate], budget: Budget, study: PeersPay | None) -> Plan:
    """Return the plan for what was measured.

    Args:
        candidates: A single network and peers, or what the user chose.
        budget: The budget; its clock runs.
        study: When peers pay, for two candidates.

    Raises:
        UserError: The budget has no room for one epoch.
    """
    used = budget.seconds - budget.left
    reserve = _RESERVE * budget.seconds + _RESERVE_S
    room = budget.seconds - used - reserve
    epochs = [one.epochs_in(room) for one in candidates]
    chosen, why = 0, ""
    if study is not None and epochs[0]:
        chosen, why = _best(candidates, epochs[0], study)
    if not epochs[chosen]:
        raise _no_room(candidates[chosen], budget, used + reserve)
    best = candidates[chosen]
    estimated = used + best.seconds(epochs[chosen])
    planned = (
        f"planned: {best.length(epochs[chosen])} of {best.name}, about {_clock(estimated)} of "
        f"{_clock(budget.seconds)}, with a reserve of {_clock(reserve)}"
    )
    reasons = (_steps(candidates), _lengths(candidates, epochs, budget), *filter(None, [why]), planned)
    return Plan(best.config.with_epochs(epochs[chosen]), budget.seconds, estimated, reserve, tuple(candidates), reasons)


def _leaves_peers_open(config: Config) -> bool:
    """Return whether nobody chose a method or peers."""
    of_method = {option.name for option in methods.options_of(config.method)}
    names = ("method", *options_of(KINDS[config.kind], config.method))
    return all(name in config.implied for name in names if name.partition(".")[0] in _OF_PEERS | of_method)


def alone(config: Config) -> Config:
    """Return the configuration of the leader without peers."""
    cohort = replace(config.cohort, peers=1, sharing="network", share_until=None, peer_backbones=None)
    default = TrainingConfig()
    training = replace(config.training, **{name: getattr(default, name) for name in WHEN_PEERS_LEARN})
    return replace(config, cohort=cohort, training=training, method="baseline", options={}, teacher=TeacherConfig())


@contextmanager
def _folder_beside(run: Run) -> Iterator[Path]:
    """Yield a temporary folder on the disk of a run.

    Raises:
        UserError: No folder can be created there.
    """
    existing = next(folder for folder in run.path.absolute().parents if folder.exists())
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder(existing))
        except OSError as error:
            raise UserError(f"{run.path} cannot be created: {cause(error)}") from error
        yield folder


def _measured(task: Task, config: Config, seconds: float, opened: Opened, folder: Path) -> Candidate:
    endless = replace(config, training=replace(config.training, epochs=EPOCHS))  # not their episodes: those are few
    place = folder / config.method
    place.mkdir()
    before = time.perf_counter()
    with opened(task.configured(endless), Run(place)) as (trainer, evaluators):
        start = time.perf_counter() - before
        pace = pace_of(trainer, evaluators, task.data, start=start, seconds=seconds, folder=place)
    del trainer, evaluators
    gc.collect()  # the memory of a GPU is needed for the next one
    return Candidate(config, pace)


def _best(candidates: Sequence[Candidate], epochs: int, study: PeersPay) -> tuple[int, str]:
    """Return which of two candidates to train in the time of so many epochs of the first one, and why."""
    single, peers = candidates
    pays, why = study.verdict(peers.epoch / single.epoch, epochs, single.length)
    return int(pays), f"{why}: training {candidates[pays].name}"


def _no_room(chosen: Candidate, budget: Budget, other: float) -> UserError:
    fewest = chosen.config.training.fewest_epochs
    length = "one epoch" if fewest == 1 else f"{fewest} epochs"
    beside = _duration(chosen.pace.beside_epochs)
    return UserError(
        f"budget {budget} has no room for {length}: an epoch of {chosen.name} takes {_duration(chosen.epoch)}, "
        f"start, first reading and evaluation {beside}, planning and reserve {_duration(other)}"
    )


def _steps(candidates: Sequence[Candidate]) -> str:
    found = [f"{_duration(one.pace.step)} with {one.name}" for one in candidates]
    return f"a step takes {' and '.join(found)}"


def _lengths(candidates: Sequence[Candidate], epochs: Sequence[int], budget: Budget) -> str:
    found = [f"{one.length(count)} of {one.name}" for one, count in zip(candidates, epochs, strict=True)]
    return f"{budget} is time for {' or '.join(found)}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else _clock(seconds)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
