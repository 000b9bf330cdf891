import io
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from peerdistill.training import ConsoleLog, StepReading
from support.logged import LOSS, reading, record


def console(terminal: bool, width: int = 160) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=width, color_system=None), written


def shown_lines(text: str) -> list[str]:
    """Return the lines and frames written to a terminal, without control sequences."""
    return [line for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)) if line.strip()]


def test_without_a_terminal_there_is_one_plain_line_per_epoch():
    out, written = console(terminal=False)
    log = ConsoleLog(out, epochs=10, steps=100)
    for epoch in (1, 2):
        for step in range(10 * epoch - 9, 10 * epoch):
            log.step(reading(step, epoch))
        log.epoch(record(epoch, 10 * epoch))
    log.close()
    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, start=1):
        assert re.fullmatch(
            rf"epoch  {epoch}/10  loss 4\.500 \(cross_entropy 4\.000, ensemble 0\.375, contrast 0\.125\)  "
            r"validation: leader 81\.26 %, ensemble 90\.00 %  1,234 images/s  \d:\d\d:\d\d left",
            line,
        )


def test_without_validation_the_line_has_no_accuracy():
    out, written = console(terminal=False)
    ConsoleLog(out, epochs=3, steps=30).epoch(record(1, 10, leader=None))
    assert "validation" not in written.getvalue()


def test_with_one_peer_the_ensemble_is_left_out():
    out, written = console(terminal=False)
    alone = record(1, 10)
    alone["validation"]["peers"] = [{"top1": 81.256}]
    ConsoleLog(out, epochs=3, steps=30).epoch(alone)
    assert "leader 81.26 %" in written.getvalue()
    assert "ensemble 90" not in written.getvalue()


def test_on_a_terminal_the_bar_shows_epoch_parts_speed_and_time_left():
    out, written = console(terminal=True)
    log = ConsoleLog(out, epochs=10, steps=100, done=20)
    log.step(reading(25, epoch=3))
    log.close()
    shown = written.getvalue()
    parts = "loss 4.500 (cross_entropy 4.000, ensemble 0.375, contrast 0.125)"
    for text in ("epoch 3/10", parts, "1,234 images/s", "25%"):
        assert text in shown
    assert re.search(r"\d:\d\d:\d\d left", shown)


def test_on_a_terminal_there_is_also_a_line_per_epoch():
    out, written = console(terminal=True)
    log = ConsoleLog(out, epochs=10, steps=100)
    log.step(reading(5))
    log.epoch(record(1, 10))
    log.close()
    assert "validation: leader 81.26 %, ensemble 90.00 %" in written.getvalue()


def test_the_bar_moves_before_the_first_reading():
    """For a run with fewer steps than `log_every`, or with slow steps."""
    out, written = console(terminal=True, width=80)
    log = ConsoleLog(out, epochs=2, steps=12)
    log.advance(3)
    log.close()
    frame = shown_lines(written.getvalue())[-1]
    assert re.search(r" 25% epoch 1/2  \d:\d\d:\d\d left", frame)


def test_the_bar_is_full_after_the_last_epoch():
    out, written = console(terminal=True, width=80)
    log = ConsoleLog(out, epochs=1, steps=5)
    log.epoch(record(1, 5))
    log.close()
    assert "100%" in written.getvalue()


@settings(deadline=None, max_examples=30)
@given(
    width=st.integers(75, 200),
    epochs=st.integers(1, 999),
    speed=st.floats(0, 1e6),
    total=st.floats(0, 99),
    leader=st.floats(1, 100),
)
def test_lines_fit_the_terminal_and_contain_the_most_important_fields(width, epochs, speed, total, leader):
    out, written = console(terminal=True, width=width)
    log = ConsoleLog(out, epochs=epochs, steps=10 * epochs)
    loss = {**LOSS, "total": total}
    log.step(StepReading(epoch=1, step=1, images_per_second=speed, lr=0.1, loss=loss))
    log.epoch({**record(1, 10, leader=leader), "loss": loss})
    log.close()
    lines = shown_lines(written.getvalue())
    assert max(map(len, lines)) <= width
    for text in (f"/{epochs}", f"loss {total:.3f}", f"leader {leader:.2f} %", "ensemble 90.00 %"):
        assert any(text in line for line in lines)


@pytest.mark.parametrize("width", [20, 40])
def test_a_very_narrow_terminal_shows_the_beginning_of_the_line(width):
    out, written = console(terminal=True, width=width)
    log = ConsoleLog(out, epochs=3, steps=30)
    log.epoch(record(1, 10))
    log.close()
    assert max(map(len, shown_lines(written.getvalue()))) <= width


@pytest.mark.parametrize(("step", "expected"), [(150, "0:00:05"), (200, "0:00:00")])
def test_time_left_is_estimated_from_the_steps_of_this_process(monkeypatch, step, expected):
    """100 steps were done before. After 50 more in 5 seconds, 50 steps and 5 seconds are left."""
    now = 1000.0
    monkeypatch.setattr("peerdistill.training.loggers.console.time", SimpleNamespace(perf_counter=lambda: now))
    out, written = console(terminal=False)
    log = ConsoleLog(out, epochs=2, steps=200, done=100)
    now += 5
    log.epoch(record(1, step))
    assert written.getvalue().rstrip().endswith(f"{expected} left")
