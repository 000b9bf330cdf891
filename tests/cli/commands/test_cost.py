import json
from pathlib import Path

import pytest

from peerdistill.cli import cost_tables
from support.console import printed, silent_console

SMALL = ("--backbone", "conv4", "--image_size", "16", "--classes", "4", "--samples", "64", "--batch_size", "8")


def test_the_cost_of_a_run_has_the_sizes_and_parameters_of_its_result(peers, peerdistill):
    before = sorted(peers[0].rglob("*"))
    outcome = peerdistill("cost", peers[0], "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert sorted(peers[0].rglob("*")) == before  # nothing is written into the run
    found, result = json.loads(outcome.stdout), json.loads(peers[1].stdout)
    assert {name: found["parameters"][name] for name in result["parameters"]} == result["parameters"]
    assert (found["sizes"]["classes"], found["sizes"]["image_size"]) == (3, 8)
    assert found["steps"] == found["epochs"] * (found["sizes"]["samples"] // result["options"]["batch_size"])
    assert 0 < found["timing"]["measured"] < 20


def test_the_cost_of_options_needs_no_data(peerdistill):
    outcome = peerdistill("cost", *SMALL, "--channels=1", "--peers", "2", "--no_measure", "--json", "--epochs", "3")
    assert (outcome.code, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    assert found["sizes"] == {"samples": 64, "classes": 4, "image_size": 16, "channels": 1}
    assert (found["steps"], found["timing"]) == (3 * 8, None)
    console = silent_console()
    for table in cost_tables.tables(found):
        console.print(table)
    text = printed(console)
    assert f"{found['parameters']['leader']:,} deployed" in text
    assert "24 in 3 epochs, 8 images each" in text
    for part in ("leader alone, forward", "contrast, forward", "peers, backward", "of 8 images"):
        assert part in text


def test_a_teacher_is_part_of_the_cost(at_home, peerdistill):
    words = ("npz:digits.npz", "--method", "kd", "--teacher", "runs/digits", "--backbone", "resnet8x4")
    outcome = peerdistill("cost", *words, "--batch_size", "8", "--no_measure", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    counted = found["multiply_adds"]
    assert counted["forward"]["teacher"] == counted["forward"]["peers"] == counted["network"]  # the same network
    assert found["parameters"]["teacher"] == found["parameters"]["leader"]
    assert found["memory"]["teacher"] > 4 * found["parameters"]["teacher"]


def test_an_ensemble_costs_what_all_of_its_peers_cost(at_home, tmp_path, peerdistill):
    peers = ("--method", "baseline", "--peers", "3", "--backbone", "resnet8", "--epochs", "1", "--validation", "0")
    assert peerdistill("train", "npz:digits.npz", *peers, "--run", str(tmp_path / "peers")).code == 0
    words = ("npz:digits.npz", "--method", "kd", "--teacher", str(tmp_path / "peers"), "--backbone", "resnet8")
    words += ("--no_measure", "--json")
    costs = (peerdistill("cost", *words, "--teacher_what", what) for what in ("leader", "ensemble"))
    leader, ensemble = (json.loads(outcome.stdout) for outcome in costs)
    together = json.loads(peerdistill("cost", str(tmp_path / "peers"), "--no_measure", "--json").stdout)
    assert ensemble["parameters"]["teacher"] == together["parameters"]["cohort"] > leader["parameters"]["teacher"]
    forwards = [one["multiply_adds"]["forward"] for one in (ensemble, leader, together)]
    assert forwards[0]["teacher"] == forwards[2]["peers"] > forwards[1]["teacher"]


def test_the_cost_of_a_few_shot_run(at_home, peerdistill):
    outcome = peerdistill("cost", "runs/ten", "--no_measure", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    found, result = json.loads(outcome.stdout), json.loads(Path("runs/ten/result.json").read_text())
    assert {name: found["parameters"][name] for name in result["parameters"]} == result["parameters"]
    assert found["steps"] == result["options"]["episodes"]


def test_the_cost_of_few_shot_options(peerdistill):
    outcome = peerdistill("cost", "--kind", "episodes", "--samples=100", "--classes=10", "--no_measure", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    assert found["sizes"] == {"samples": 100, "classes": 10, "image_size": 28, "channels": 1}
    assert found["steps"] == 10_000


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999.4, "999"), (999.6, "1 k"), (69_130_000, "69.1 M"), (3.2e22, "3.2e+04 E")]
)
def test_numbers_in_units(number, text):
    assert cost_tables.in_units(number) == text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("runs/digits", "--kind", "episodes"), "--kind cannot be combined with a run"),
        (("--samples", "1"), "samples must be at least 2"),
        (("--channels", "2"), "channels must be 1, 3 or null"),
        (("--samples",), "--samples needs a value"),
        (("--epoch", "3"), "--epochs"),
        (("nothing/here",), "nothing/here"),
    ],
)
def test_mistakes(at_home, peerdistill, words, named):
    outcome = peerdistill("cost", *words, "--no_measure")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert named in outcome.stderr
