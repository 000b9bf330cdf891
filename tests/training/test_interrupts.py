import signal
import threading

import pytest

from peerdistill.training.interrupts import Interrupted, InterruptRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number):
    with InterruptRequest() as interrupt:
        interrupt.end_if_requested()
        assert not interrupt.requested
        signal.raise_signal(number)
        assert interrupt.requested
        with pytest.raises(Interrupted) as caught:
            interrupt.end_if_requested()
        assert caught.value.exit_code == 128 + number
        signal.raise_signal(number)  # what ends already is not interrupted


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_interrupts_at_once_and_a_third_changes_nothing(first, second):
    with InterruptRequest() as interrupt:
        signal.raise_signal(first)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
        signal.raise_signal(second)


@pytest.mark.parametrize("first", SIGNALS)
def test_sighup_which_closed_windows_send_twice_is_no_second_signal(first):
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


def test_where_all_is_written_the_first_signal_ends_at_once():
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
    """As ``nohup`` and a shell's ``&`` want it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptRequest() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.requested
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_afterwards_signals_mean_what_they_meant(error):
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
        for number, meaning in before.items():
            signal.signal(number, meaning)


def test_in_another_thread_signals_stay_as_they_are():
    before, found = signal.getsignal(signal.SIGINT), []

    def work():
        with InterruptRequest() as interrupt:
            found.extend([signal.getsignal(signal.SIGINT), interrupt.requested])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, False]
