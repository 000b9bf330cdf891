"""What loggers to experiment trackers have in common: numbers by name at a step, sent once."""

from collections.abc import Callable, Mapping
from typing import Any

from peerdistill.training.loggers.flat import numbers
from peerdistill.training.loggers.logger import LoggedRun, Logger, StepReading
from peerdistill.training.loggers.mark import Mark

PROJECT = "peerdistill"
"""Name of the project or experiment, if the environment names no other."""

MARKS = "loggers"
"""Folder in a run folder of the files that say what trackers have."""

Send = Callable[[dict[str, float], int], object]
"""Sends numbers by name for a step."""


class TrackerLog(Logger):
    """Sends readings, epochs and the result to a tracker as numbers by name.

    Readings are ``loss/...``, ``lr`` and ``images_per_second``; epochs are ``epoch``, ``epoch_loss/...`` and
    ``validation/...``; the result is ``final/...``. After a resume, steps that were sent before are not sent again.

    Args:
        send: Sends numbers by name for a step.
        finish: Ends the tracker's run; its argument says whether training has reached its result.
        run: The run.
        mark: What was sent before.
    """

    def __init__(self, send: Send, finish: Callable[[bool], object], run: LoggedRun, mark: Mark):
        self._send = send
        self._finish = finish
        self._mark = mark
        self._last_step = run.step
        self._is_done = False

    def step(self, reading: StepReading) -> None:
        """Send loss, learning rate and speed."""
        if self._mark.passes("step", reading.step):
            speed = {"lr": reading.lr, "images_per_second": reading.images_per_second}
            self._send({**numbers(reading.loss, "loss"), **speed}, reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Send the loss and the accuracies of the epoch."""
        self._last_step = record["step"]
        if self._mark.passes("epoch", record["epoch"]):
            named = {"epoch": record["epoch"], "epoch_loss": record["loss"], "validation": record["validation"]}
            self._send(numbers(named), record["step"])

    def result(self, result: Mapping[str, Any]) -> None:
        """Send the numbers of the result, except those that are options."""
        self._is_done = True
        if self._mark.passes("result", result["last"]["epoch"]):
            measured = {name: value for name, value in result.items() if name not in ("options", "versions")}
            self._send(numbers(measured, "final"), self._last_step)

    def close(self) -> None:
        """End the tracker's run."""
        self._finish(self._is_done)


def mark_of(run: LoggedRun, tracker: str) -> Mark:
    """Return what a tracker has of a run."""
    return Mark(run.folder / MARKS / f"{tracker}.json")


def log_to(
    init: Callable[..., Any], finish: Callable[[Any, bool], object], run: LoggedRun, mark: Mark, **identity: Any
) -> TrackerLog:
    """Return a logger to a tracker with the API of Weights & Biases, which Trackio shares.

    Args:
        init: The tracker's ``init``.
        finish: Ends the run that ``init`` returned.
        run: The run.
        mark: What was sent before.
        **identity: Arguments of ``init`` that name the tracker's run.
    """
    tracked = init(resume="allow", config=dict(run.config), **identity)
    return TrackerLog(
        lambda values, step: tracked.log(values, step=step), lambda is_done: finish(tracked, is_done), run, mark
    )
