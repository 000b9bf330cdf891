import importlib.util
import signal
import threading

import pytest
import torch

from peerdistill.errors import reading
from peerdistill.training import Checkpoints, interrupts
from peerdistill.training.interrupts import Interrupted, InterruptRequest, ignore_signals

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_sets_the_request(number):
    with InterruptRequest() as interrupt:
        interrupt.end_if_requested()
        assert not interrupt.requested
        signal.raise_signal(number)
        assert interrupt.requested
        with pytest.raises(Interrupted) as caught:
            interrupt.end_if_requested()
        assert caught.value.exit_code == 128 + number
        signal.raise_signal(number)  # ignored while training ends


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_interrupts_and_a_third_is_ignored(first, second):
    with InterruptRequest() as interrupt:
        signal.raise_signal(first)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
        signal.raise_signal(second)


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_sighup_is_ignored(first):
    with InterruptRequest():
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGHUP)


def test_a_second_signal_waits_until_a_file_is_written():
    written = []

    def write() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.raise_signal(number)
        written.append("all of it")

    with InterruptRequest() as interrupt, pytest.raises(KeyboardInterrupt), interrupt.writing():
        write()
    assert written


def test_with_all_progress_saved_the_first_signal_ends_training():
    with InterruptRequest() as interrupt:
        with interrupt.at_once():
            assert not interrupt.requested
        with pytest.raises(Interrupted), interrupt.at_once():
            signal.raise_signal(signal.SIGTERM)
    with InterruptRequest() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted), interrupt.at_once():
            raise AssertionError


def test_an_ignored_signal_stays_ignored():
    """``nohup`` and the ``&`` of a shell rely on it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptRequest() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.requested
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_the_previous_handlers_are_restored(error):
    def handler(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        try:
            with InterruptRequest():
                assert signal.getsignal(signal.SIGINT) is not handler
                if error:
                    raise error
        except (KeyboardInterrupt, ValueError):
            pass
        assert all(signal.getsignal(number) is handler for number in before)
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def test_in_another_thread_handlers_are_not_changed():
    before, found = signal.getsignal(signal.SIGINT), []

    def work():
        with InterruptRequest() as interrupt:
            found.extend([signal.getsignal(signal.SIGINT), interrupt.requested])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, False]


def test_signals_are_ignored_in_a_cleanup_and_handled_again_after_it():
    received = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in SIGNALS}
    try:
        with ignore_signals():
            for number in SIGNALS:
                signal.raise_signal(number)
        assert received == []
        for number in SIGNALS:
            signal.raise_signal(number)
        assert received == SIGNALS
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@pytest.fixture
def without_sighup(monkeypatch):
    """The module as it is on Windows, where `signal` has no SIGHUP."""
    monkeypatch.delattr(signal, "SIGHUP")
    spec = importlib.util.spec_from_file_location("interrupts_without_sighup", interrupts.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_platform_without_sighup_can_be_interrupted(without_sighup, number):
    with without_sighup.InterruptRequest() as interrupt, without_sighup.ignore_signals():
        signal.raise_signal(number)
        assert not interrupt.requested
    with without_sighup.InterruptRequest() as interrupt:
        signal.raise_signal(number)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_file_is_read_is_not_taken_for_damage(tmp_path, monkeypatch, number):
    """Readers turn every exception of a library into a sentence about the file; a signal comes at any moment."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save({"step": 1})
    monkeypatch.setattr(torch, "load", lambda *args, **how: signal.raise_signal(number))
    with pytest.raises(Interrupted), InterruptRequest() as interrupt, interrupt.at_once():
        checkpoints.load(checkpoints.last)
    with pytest.raises(Interrupted), InterruptRequest() as interrupt, interrupt.at_once(), reading("cannot read it"):
        signal.raise_signal(number)
