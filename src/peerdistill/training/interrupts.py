"""Ctrl-C and SIGTERM as a polite request: the step is finished and a checkpoint written."""

import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Training ended early at the user's request, with a checkpoint written."""


class InterruptRequest:
    """While entered, the first SIGINT or SIGTERM only sets ``requested``; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "InterruptRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._request)
            except ValueError:  # only the main thread may; in others signals keep their meaning
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
