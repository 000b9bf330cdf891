import json
from pathlib import Path

import pytest
import yaml

from support.command_line import run

pytestmark = pytest.mark.own_process

STUDY = {
    "title": "Tiny",
    "datasets": {"digits": {"data": "digits"}, "Photos": {}},
    "seeds": 1,
    "equal_compute": False,
    "options": {"backbone": "resnet8", "epochs": 1, "batch_size": 20, "validation": 0, "subset": {"per_class": 10}},
    "axes": {"method": {"Baseline": {"method": "baseline", "peers": 1}, "DML": {"method": "dml", "peers": 2}}},
    "baseline": {"method": "Baseline"},
}
ONE = ("tiny.yaml", "--dataset", "digits", "--method", "Baseline")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a study of which one cell is trained, on two devices."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = run("reproduce", *ONE, "--devices", "2")
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    assert "1 run: 1 finished" in outcome.stdout
    return folder


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_results_are_written_as_a_record_and_as_tables(here):
    files = {file.name for file in (here / "results/tiny").iterdir()}
    assert files >= {"results.json", "results.md", "results.csv", "results.txt", "tables.json", "cells"}
    (cell,) = json.loads((here / "results/tiny/results.json").read_text())["cells"]
    result = json.loads((here / "runs" / cell["name"] / "result.json").read_text())
    error = 100 - result["last"]["test"]["leader"]["top1"]
    assert cell["last"]["error"]["leader"] == pytest.approx(error)
    assert f"{error:.2f}" in (here / "results/tiny/results.md").read_text()


def test_runs_are_trained_on_the_devices_that_are_asked_for(here):
    (config,) = (here / "runs").glob("*/config.yaml")
    assert yaml.safe_load(config.read_text())["devices"] == 2


def test_multiply_adds_are_those_of_the_cost(here):
    (cell,) = json.loads((here / "results/tiny/results.json").read_text())["cells"]
    options = "--samples 100 --classes 10 --image_size 8 --channels 1 --backbone resnet8 --method baseline --peers 1"
    outcome = run("cost", *options.split(), "--epochs", "1", "--batch_size", "20", "--no_measure", "--json")
    assert outcome.code == 0, outcome.stderr
    assert cell["multiply_adds"] == json.loads(outcome.stdout)["training"]


def test_the_second_time_the_results_are_there_at_once(here):
    outcome = run("reproduce", *ONE, "--json")
    assert outcome.code == 0
    found = json.loads(outcome.stdout)
    assert [cell["status"] for cell in found["cells"]] == ["finished"]
    assert found["table"]["rows"]
    assert "training" not in outcome.stderr


def test_the_results_of_finished_runs_can_be_written_without_training(here):
    outcome = run("reproduce", "tiny.yaml", "--no_train", "--out", "results/so-far", "--json")
    assert outcome.code == 0, outcome.stderr
    states = {cell["labels"]["dataset"]: set() for cell in json.loads(outcome.stdout)["cells"]}
    for cell in json.loads(outcome.stdout)["cells"]:
        states[cell["labels"]["dataset"]].add((cell["labels"]["method"], cell["status"]))
    assert states["digits"] == {("Baseline", "finished"), ("DML", "planned")}
    assert (here / "results/so-far/results.md").exists()


def test_list_shows_what_is_left_and_the_total(here):
    outcome = run("reproduce", "tiny.yaml", "--list", "--json")
    assert outcome.code == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    states = {(cell["labels"]["dataset"], cell["labels"]["method"]): cell["state"] for cell in found["cells"]}
    assert states == {
        ("digits", "Baseline"): "finished",
        ("digits", "DML"): "planned",
        ("Photos", "Baseline"): "no data",
        ("Photos", "DML"): "no data",
    }
    assert found["total"]["left"] == 1
    assert found["total"]["steps"] == 5
    table = run("reproduce", "tiny.yaml", "--list")
    assert "total: 4 runs, 1 finished; 1 left with 5 steps" in table.stdout
    assert "--data Photos=DATA" in table.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("tiny.yaml --devices 0", "devices must be at least 1"),
        ("tiny.yaml --method KDCL", "unknown"),
        ("tiny.yaml --network ResNet-32", "unknown"),
        ("tiny.yaml --only method", "--only must be AXIS=LABEL, found method"),
        ("tiny.yaml --data photos", "--data must be NAME=DATA, found photos: NAME is one of digits, Photos"),
        ("tiny.yaml --data Pictures=photos", "unknown data set 'Pictures': choose from digits, Photos"),
        ("tiny.yaml --scale huge", "unknown scale 'huge'"),
        ("tiny.yaml --jobs 0", "jobs must be at least 1"),
        ("table9", "table9"),
    ],
)
def test_mistakes_are_one_sentence(here, words, sentence):
    outcome = run("reproduce", *words.split())
    assert outcome.code == 2
    assert sentence in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_another_study_does_not_write_into_the_same_results(here):
    (here / "other.yaml").write_text(yaml.safe_dump({**STUDY, "title": "Other"}))
    outcome = run("reproduce", "other.yaml", "--out", "results/tiny")
    assert outcome.code == 2
    assert "choose another folder with --out" in outcome.stderr


def test_a_place_may_contain_an_equals_sign(here):
    left_out = ("--data", "Digits=elsewhere")
    outcome = run("reproduce", "tiny.yaml", "--dataset", "Photos", "--data", "Photos=a=b/c", *left_out, "--list")
    assert "a=b/c" in outcome.stdout
