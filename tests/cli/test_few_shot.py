"""Few-shot learning on the command line: train, resume, evaluate, compare, export, predict from examples."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from peerdistill.cli import tables
from peerdistill.training import ConsoleLog
from support.console import printed, silent_console
from support.options import PROTOTYPICAL, few_shot, option_words
from support.photos import write_stripes

SHORT = option_words({**few_shot(), "image_size": 16})
ALONE = option_words(PROTOTYPICAL)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("few-shot") / "shapes")


@pytest.fixture(scope="module")
def runs(shapes, peerdistill) -> tuple[Path, Path]:
    """A prototypical network alone, and two peers by MCL-OKD."""
    alone, peers = shapes.parent / "alone", shapes.parent / "peers"
    contrast = ("--peers", "2", "--contrast.count", "8")
    for run, options in ((alone, ALONE), (peers, contrast)):
        outcome = peerdistill("fewshot", shapes, *SHORT, *options, "--run", run, "--json")
        assert outcome.code == 0, outcome.stderr
        assert json.loads(outcome.stdout) == {"run": str(run), **json.loads((run / "result.json").read_text())}
    return alone, peers


@pytest.fixture(scope="module")
def encoder(runs, peerdistill) -> Path:
    outcome = peerdistill("export", runs[1])
    assert "largest difference of features" in outcome.stdout
    assert "same nearest picture on 100.00%" in " ".join(outcome.stdout.split())
    return runs[1] / "leader.onnx"


def test_training_reports_episodes(shapes, tmp_path, peerdistill):
    outcome = peerdistill("fewshot", shapes, *SHORT, *ALONE, "--run", tmp_path / "run")
    text = " ".join(outcome.stdout.split())
    for words in (
        "baseline: 1 x conv4",
        "6 classes, images: 48 training, 16 validation, 16 test",
        "3-way 1-shot episodes, 2 queries",
        "epoch 2/2",
        "top-1 accuracy on 6 test episodes, 2-way 1-shot",
        "±",
        "next: peerdistill export",
    ):
        assert words in text


@pytest.mark.parametrize(("name", "options"), [("okddip", ("--peers", "3")), ("rkd-da", ("--teacher",))])
def test_a_stopped_run_is_resumed(name, options, runs, shapes, tmp_path, peerdistill):
    """tests/runs/test_episodes.py does this for every method."""
    options = ["--method", name, *options, *(runs[1:] if "--teacher" in options else ())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConsoleLog, "epoch", lambda self, record: signal.raise_signal(signal.SIGINT))
        stopped = peerdistill("fewshot", shapes, *SHORT, *options, "--run", tmp_path / "run")
    assert stopped.code == 130
    assert f"peerdistill fewshot --resume --run {tmp_path}/run" in stopped.stdout
    resumed = peerdistill("fewshot", "--resume", "--run", tmp_path / "run", "--json")
    assert resumed.code == 0, resumed.stderr
    found = json.loads(peerdistill("evaluate", tmp_path / "run", "--json").stdout)
    expected = json.loads(resumed.stdout)["last"]["test"]
    assert {name: found[name] for name in expected} == expected


def test_evaluate_prints_the_promised_keys(runs, peerdistill):
    words = ("--ways", "2", "--shots", "3", "--queries", "4", "--episodes", "20", "--seed", "1", "--json")
    found = json.loads(peerdistill("evaluate", runs[1], *words).stdout)
    expected = {"ways": 2, "shots": 3, "queries": 4, "episodes": 20, "seed": 1, "samples": 160}
    assert {name: found[name] for name in expected} == expected
    assert set(found) == {*expected, "checkpoint", "split", "peers", "leader", "ensemble"}
    for predictor in (*found["peers"], found["leader"], found["ensemble"]):
        assert set(predictor) == {"top1", "interval95"}
    again = json.loads(peerdistill("evaluate", runs[1], *words, "--split", "val", "--checkpoint", "best").stdout)
    assert (again["split"], again["checkpoint"]) == ("val", "best")


def test_evaluate_shows_intervals_and_the_best_epoch_beside_the_last(runs, peerdistill):
    text = " ".join(peerdistill("evaluate", runs[1]).stdout.split())
    for words in ("6 test episodes, 2-way 1-shot", "last epoch", "best epoch on validation", "±", "ensemble"):
        assert words in text


def test_compare_shows_both_leaders_and_their_difference(runs, peerdistill):
    words = ("compare", *runs, "--queries", "5", "--episodes", "30")
    found = json.loads(peerdistill(*words, "--json").stdout)
    assert found["runs"] == {"first": str(runs[0]), "second": str(runs[1])}
    assert (found["ways"], found["shots"], found["queries"], found["episodes"]) == (2, 1, 5, 30)
    difference = found["second"]["top1"] - found["first"]["top1"]
    assert found["difference"]["top1"] == pytest.approx(difference)
    text = " ".join(peerdistill(*words).stdout.split())
    assert found["differences"]["method"] == {"alone": "baseline", "peers": "mcl-okd"}
    on = "on the same 30 episodes"
    for part in (f"second: {runs[1]}", "method baseline mcl-okd", on, "second minus first", f"{difference:.2f} ±"):
        assert part in text


def test_compare_shows_several_encoders_beside_the_first(runs, peerdistill, tmp_path):
    two = json.loads(peerdistill("compare", *runs, "--json").stdout)
    shutil.copytree(runs[0], tmp_path / "copy")
    words = ("compare", *runs, tmp_path / "copy")
    found = json.loads(peerdistill(*words, "--json").stdout)
    other, same = found["pairs"]
    assert (other["run"], other["column"], other["samples"]) == (str(runs[1]), "2-way 1-shot", two["episodes"])
    assert other["difference"]["mean"] == pytest.approx(two["difference"]["top1"])
    assert (same["difference"]["mean"], same["difference"]["low"], same["mcnemar"]) == (0, None, None)
    assert found["unit"] == "episodes"
    text = " ".join(peerdistill(*words).stdout.split())
    for part in ("mean peer", "on the same 6 episodes", "2-way 1-shot", "not of the training seed"):
        assert part in text


def test_compare_finds_data_that_have_moved(shapes, runs, peerdistill, tmp_path):
    """Its error for missing data names the option."""
    moved = []
    for run in runs:
        moved.append(shutil.copytree(run, tmp_path / run.name))
        config = moved[-1] / "config.yaml"
        config.write_text(config.read_text().replace(str(shapes), str(tmp_path / "gone")))
    assert "pass its new place by --data" in peerdistill("compare", *moved).stderr
    found, expected = (
        json.loads(peerdistill("compare", *words, "--json").stdout) for words in ((*moved, "--data", shapes), runs)
    )
    assert found["difference"] == expected["difference"]


def test_the_protocol_of_the_paper_has_one_column_per_shape(shapes, runs, peerdistill, tmp_path):
    """It needs 5 test classes with 20 images each."""
    refused = peerdistill("evaluate", runs[0], "--protocol", "paper")
    assert refused.code == 2
    assert "ways is 5 in test episodes, but there are only 2 test classes" in refused.stderr
    for split, classes in (("train", range(3)), ("test", range(3, 8))):
        for number in classes:
            target = tmp_path / "many" / split / f"shape{number}"
            target.mkdir(parents=True)
            for copy in range(20):
                source = shapes / f"shape{number}" / f"{copy % 8}.png"
                (target / f"{copy}.png").write_bytes(source.read_bytes())
    short = (*SHORT, *ALONE, "--run", tmp_path / "run")
    assert peerdistill("fewshot", tmp_path / "many", *short).code == 0
    found = json.loads(peerdistill("evaluate", tmp_path / "run", "--protocol", "paper", "--json").stdout)
    assert found["protocol"] == "paper"
    shapes_found = [(column["ways"], column["shots"], column["queries"]) for column in found["columns"]]
    assert shapes_found == [(5, 1, 15), (5, 5, 15)]
    text = " ".join(peerdistill("evaluate", tmp_path / "run", "--protocol", "paper").stdout.split())
    for words in ("600 test episodes", "5-way 1-shot", "5-way 5-shot"):
        assert words in text


def test_an_encoder_classifies_from_a_folder_of_examples(encoder, shapes, tmp_path, peerdistill):
    for name in ("shape0", "shape3", "shape7"):
        (tmp_path / "support" / name).mkdir(parents=True)
        for picture in ("0.png", "1.png"):
            (tmp_path / "support" / name / picture).write_bytes((shapes / name / picture).read_bytes())
    pictures = [shapes / "shape0" / "5.png", shapes / "shape7" / "5.png"]
    words = (*pictures, "--support", tmp_path / "support")
    of_file = json.loads(peerdistill("predict", encoder, *words, "--json").stdout)
    of_run = json.loads(peerdistill("predict", encoder.parent, *words, "--json").stdout)
    for first, second in zip(of_file, of_run, strict=True):
        assert set(first["classes"]) == {"shape0", "shape3", "shape7"}
        assert first["classes"] == second["classes"]
        assert first["probabilities"] == pytest.approx(second["probabilities"], abs=1e-3)
        assert sum(first["probabilities"]) == pytest.approx(1.0)
    assert "shape" in peerdistill("predict", encoder, *words, "--top", "1").stdout


def test_an_int8_encoder_classifies_from_examples(runs, shapes, tmp_path, peerdistill):
    file = tmp_path / "encoder.int8.onnx"
    outcome = peerdistill("export", runs[1], "--int8", "--output", file)
    assert outcome.code == 0, outcome.stderr
    assert "same nearest picture as in float32" in " ".join(outcome.stdout.split())
    pictures = [shapes / "shape0" / "5.png", shapes / "shape7" / "5.png"]
    of_file, of_run = (
        json.loads(peerdistill("predict", model, *pictures, "--support", shapes, "--json").stdout)
        for model in (file, runs[1])
    )
    for found, expected in zip(of_file, of_run, strict=True):
        assert set(found["classes"]) == set(expected["classes"])
        assert found["classes"][0] in expected["classes"]


def test_bench_evaluates_encoders_on_the_test_episodes(runs, peerdistill):
    found = json.loads(peerdistill("bench", runs[1], "--what", "leader,ensemble", "--repeats", "1", "--json").stdout)
    expected = json.loads(peerdistill("evaluate", runs[1], "--json").stdout)
    assert found["evaluated"] == {
        name: expected[name] for name in ("split", "samples", "ways", "shots", "queries", "episodes", "seed")
    }
    for what, forms in found["networks"].items():
        for form in ("pytorch", "pt2", "onnx"):
            if form in forms and what in expected:  # the ensemble is one encoder with the features of all peers
                assert forms[form]["accuracy"] == pytest.approx(expected[what], abs=1e-3)
    leader = found["networks"]["leader"]
    assert abs(leader["int8"]["accuracy"]["top1"] - expected["leader"]["top1"]) < 20
    console = silent_console()
    console.print(tables.bench(found))  # what the command prints without --json
    assert "6 test episodes, 2-way 1-shot" in printed(console)


def test_the_default_run_folder(shapes, tmp_path, monkeypatch, peerdistill):
    monkeypatch.chdir(tmp_path)
    assert peerdistill("fewshot", shapes, *SHORT, *ALONE).code == 0
    assert Path("runs/shapes-baseline-conv4/result.json").is_file()
