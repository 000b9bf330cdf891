import json

import pytest


@pytest.fixture
def runs(home, peers):
    """One network and two peers, trained on the same digits."""
    return home / "runs/digits", peers[0]


def test_runs_on_classes_are_compared(runs, peerdistill):
    found = json.loads(peerdistill("compare", *runs, "--json").stdout)
    first, second = (json.loads(peerdistill("evaluate", run, "--json").stdout) for run in runs)
    for one, evaluated in zip(found["results"], (first, second), strict=True):
        assert one["accuracy"]["top-1"]["leader"] == evaluated["leader"]["top1"]
    assert found["results"][1]["accuracy"]["top-1"]["ensemble"] == second["ensemble"]["top1"]
    (pair,) = found["pairs"]
    assert pair["samples"] == first["samples"]
    assert pair["difference"]["mean"] == pytest.approx(second["leader"]["top1"] - first["leader"]["top1"])
    different = pair["mcnemar"]["only_second"] - pair["mcnemar"]["only_first"]
    assert pair["difference"]["mean"] == pytest.approx(100 * different / pair["samples"])


def test_the_terminal_shows_options_results_and_what_intervals_mean(runs, peerdistill):
    text = " ".join(peerdistill("compare", *runs).stdout.split())
    for words in ("peers 1 2", "method baseline mcl-okd", "Results: accuracy, %", "not of the training seed"):
        assert words in text
