"""Graceful stop on a signal: the trainer finishes its step and writes a checkpoint."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# Sent when the terminal or the connection is closed. Windows has no such signal.
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, _HANGUP) if number is not None)


class Interrupted(BaseException):
    """Training was stopped by a signal, after a checkpoint was written.

    Like KeyboardInterrupt it is no Exception: it may come while a file is read, which would be taken for damaged.

    Args:
        number: The signal.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code of a process stopped by this signal, as shells report it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


@contextmanager
def ignore_signals() -> Iterator[None]:
    """Ignore signals during a short cleanup, where another one could only cause a traceback."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            try:
                before[number] = signal.signal(number, signal.SIG_IGN)
            except ValueError:  # only the main thread can set handlers
                break
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class InterruptRequest:
    """Context in which the first SIGINT, SIGTERM or SIGHUP only sets ``requested``, and a second one interrupts.

    A second SIGHUP is ignored, because shell and terminal both send one when a window is closed. A signal that was
    already ignored, for example by ``nohup``, stays ignored.

    Example:
        >>> import signal
        >>> with InterruptRequest() as interrupt:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     interrupt.requested
        True
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._process = os.getpid()
        self._immediate = False
        self._writing = False
        self._second = False
        self._ending = False

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.number is not None

    def __enter__(self) -> "InterruptRequest":
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_IGN:
                continue
            try:
                self._before[number] = signal.signal(number, self._request)
            except ValueError:  # only the main thread can set handlers; in other threads signals keep theirs
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_if_requested(self) -> None:
        """Raise Interrupted if a signal has arrived; later signals are ignored. Call it after writing a checkpoint."""
        if self.number is not None:
            self._ending = True
            raise Interrupted(self.number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first signal raise Interrupted immediately. Use it while all progress is in a checkpoint."""
        self.end_if_requested()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Delay the effect of a second signal until a file is written."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._second:
            self._interrupt()

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process or self._ending:
            return  # forked data workers inherit the handler and must not stop the run
        if self.number is None:
            self.number = number
            if self._immediate:
                self.end_if_requested()
        elif self._writing:
            self._second = self._second or number != _HANGUP
        elif number != _HANGUP:
            self._interrupt()

    def _interrupt(self) -> None:
        self._ending = True
        raise KeyboardInterrupt
