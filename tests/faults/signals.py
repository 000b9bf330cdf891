"""Signals at a random moment."""

import os
import random
import signal
from pathlib import Path

from fault import Fault
from trainings import Forked


class Signal(Fault):
    """A signal that stops the training.

    Args:
        number: The signal.
    """

    def __init__(self, number: signal.Signals):
        self._number = number
        # Before training handles them, they end the process, as shells report it too.
        self.codes = frozenset({-number} if number == signal.SIGKILL else {-number, 128 + number})

    def strike(self, training: Forked, run: Path, rng: random.Random) -> None:
        """Send the signal."""
        os.kill(training.pid, self._number)


FAULTS: dict[str, Fault] = {
    number.name: Signal(number) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
}
