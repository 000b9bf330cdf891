import signal
import threading

import pytest

from peerdistill.training.interrupts import InterruptRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_asks(number):
    with InterruptRequest() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(number)
        assert interrupt.requested


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_request_interrupts_at_once(first):
    with InterruptRequest() as interrupt:
        signal.raise_signal(first)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_still_only_asks():
    with InterruptRequest() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.requested


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_afterwards_signals_mean_what_they_meant(error):
    def handler(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
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
