import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.config import Config, parse
from peerdistill.config.budget import Budget, check_one_process, plannable
from peerdistill.errors import UserError


@given(st.tuples(*[st.integers(0, 999)] * 3).filter(any))
def test_hours_minutes_and_seconds_add_up(parts):
    hours, minutes, seconds = parts
    text = "".join(f"{value}{unit}" for value, unit in zip(parts, "hms", strict=True) if value)
    assert Budget.of(text).seconds == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("2h", 7200, "2 hours"),
        ("90m", 5400, "1 hour 30 minutes"),
        ("1.5h", 5400, "1 hour 30 minutes"),
        (" 45s ", 45, "45 seconds"),
        ("1h1m1s", 3661, "1 hour 1 minute 1 second"),
        ("0.5s", 0.5, "0.5 seconds"),
    ],
)
def test_forms(text, seconds, shown):
    assert (Budget.of(text).seconds, str(Budget.of(text))) == (seconds, shown)


@pytest.mark.parametrize(
    "wrong",
    ["", "2", "2d", "h", "0s", "0h0m", "-2h", "30m2h", "1h 30m", "2 hours", "1e3s", "infs", "9999999h", 90, None],
)
def test_others_are_refused_with_what_was_found(wrong):
    with pytest.raises(UserError, match=r"^budget must be a time such as 2h, 90m, 45s or 1h30m, found ") as refused:
        Budget.of(wrong)
    assert str(wrong if wrong is not None else "null").strip() in str(refused.value)


def test_the_clock_runs_from_the_start(monkeypatch):
    budget = Budget.of("1m")
    assert 59 < budget.left <= 60
    now = budget.started + 75
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert budget.left == pytest.approx(-15)


def test_a_file_may_state_it_and_it_is_not_part_of_the_configuration(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("budget: 2h\n")
    for words, expected in (([], None), (["--config", file], "2h"), (["--config", file, "--budget", "3h"], "3h")):
        config, flags = parse(["digits", *map(str, words)])
        assert flags.budget == expected
        assert config == parse(["digits"])[0]


def configured(*words: str) -> Config:
    return parse(["digits", *words])[0]


def test_a_chosen_length_and_several_devices_are_refused():
    assert plannable(configured()) == configured().with_epochs(1)
    assert plannable(configured("--growth.start", "0.5")).training.epochs == 2
    with pytest.raises(UserError, match=r"^epochs 3 cannot be combined with budget, which plans the epochs: leave out"):
        plannable(configured("--epochs", "3"))
    with pytest.raises(
        UserError, match=r"^budget cannot be combined with several devices, found 2: set epochs or episodes instead"
    ):
        plannable(configured("--devices", "2"))
    with pytest.raises(UserError, match="found 8"):
        check_one_process(8)
    few_shot = {"kind": "episodes", "data": "npz:some.npz"}
    assert plannable(Config.from_dict(few_shot)).training.epochs == 1
    with pytest.raises(UserError, match=r"^episodes 400 cannot be combined with budget, which plans the episodes"):
        plannable(Config.from_dict({**few_shot, "episodes": 400}))
