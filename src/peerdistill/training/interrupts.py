"""Signals as a polite request: the step is finished and a checkpoint written."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# SIGHUP: the terminal or the connection is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """Training ended early at the user's request, with a checkpoint written.

    Args:
        number: The signal that asked for it.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that ended by this signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals while something is ended that takes a moment: further ones could only add a traceback."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            try:
                before[number] = signal.signal(number, signal.SIG_IGN)
            except ValueError:  # only the main thread may
                break
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class InterruptRequest:
    """While entered, the first SIGINT, SIGTERM or SIGHUP only sets ``requested``; a second one interrupts at once.

    A second SIGHUP does not count: shell and terminal both send one when a window is closed. A signal that was
    ignored before, as ``nohup`` does, stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._process = os.getpid()
        self._at_once = False
        self._writing = False
        self._second = False
        self._ending = False

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def __enter__(self) -> "InterruptRequest":
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_IGN:
                continue
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

    def end_if_requested(self) -> None:
        """Raise Interrupted where a signal has come; further ones then change nothing. A checkpoint is written."""
        if self.number is not None:
            self._ending = True
            raise Interrupted(self.number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first signal end training where it is: a checkpoint is written."""
        self.end_if_requested()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let a second signal wait until a file is written."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._second:
            self._interrupt()

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process or self._ending:
            return  # a data worker that was forked from here leaves it to this process
        if self.number is None:
            self.number = number
            if self._at_once:
                self.end_if_requested()
        elif self._writing:
            self._second = self._second or number != signal.SIGHUP
        elif number != signal.SIGHUP:
            self._interrupt()

    def _interrupt(self) -> None:
        self._ending = True
        raise KeyboardInterrupt
