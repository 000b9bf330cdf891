import json

import numpy as np
import pytest

from peerdistill.runs.run import Run
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.record.from_run import finished_cell, without_folders
from support.command_line import run
from support.digits import digits_of_each_class, write_npz
from support.options import few_shot, option_words

EPISODES = 8
PEERS = {"method": "dml", "peers": 2, **few_shot(test=EPISODES)}


def recorded(folder, data):
    """Train two few-shot peers, and return their run, their cell and the record's folder."""
    words = [f"npz:{data}", f"--run={folder}/run", *option_words({**PEERS, "loggers": "[]"})]
    outcome = run("fewshot", *words)
    assert outcome.code == 0, outcome.stderr
    trained = Run(folder / "run")
    planned = CellRecord("few", {"dataset": "few"}, "episodes", "method", 0)
    return trained, finished_cell(planned, trained, folder / "record"), folder / "record"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Peers on 30 classes of noise, of which 6 are test classes, with 20 images each."""
    folder = tmp_path_factory.mktemp("many")
    images = np.random.default_rng(0).integers(0, 256, (600, 16, 16), dtype=np.uint8)
    names = np.array([f"class {number:02}" for number in range(30)])
    np.savez(folder / "many.npz", images=images, labels=np.repeat(np.arange(30), 20), class_names=names)
    return recorded(folder, folder / "many.npz")


@pytest.mark.parametrize("shots", [1, 5])
def test_few_shot_runs_have_the_columns_of_the_paper(many, shots):
    trained, cell, folder = many
    assert list(cell.last) == ["5-way 1-shot", "5-way 5-shot"]
    shape = ["--ways", "5", "--shots", str(shots), "--queries", "15", "--episodes", str(EPISODES)]
    outcome = run("evaluate", trained.path, *shape, "--json")
    scores = json.loads(outcome.stdout)
    found = cell.last[f"5-way {shots}-shot"]
    assert found["leader"] == pytest.approx(scores["leader"]["top1"])
    assert found["mean peer"] == pytest.approx(np.mean([peer["top1"] for peer in scores["peers"]]))
    assert found["ensemble"] == pytest.approx(scores["ensemble"]["top1"])
    accuracies = Record("few", "full", {}, (cell,), folder=folder).episodes("few")[f"5-way {shots}-shot"]
    assert accuracies.shape == (EPISODES,)
    assert accuracies.mean() == pytest.approx(found["leader"], abs=1e-4)


def test_the_best_epoch_on_validation_has_the_same_columns(many):
    trained, cell, _ = many
    shape = ["--ways", "5", "--shots", "1", "--queries", "15", "--episodes", str(EPISODES)]
    scores = json.loads(run("evaluate", trained.path, *shape, "--checkpoint", "best", "--json").stdout)
    assert cell.best is not None
    assert cell.best["5-way 1-shot"]["leader"] == pytest.approx(scores["leader"]["top1"])


def test_data_that_are_too_small_for_them_have_the_runs_own_episodes(tmp_path):
    data = write_npz(tmp_path / "small.npz", *digits_of_each_class(6))
    trained, cell, _ = recorded(tmp_path, data)
    result = json.loads(trained.result_file.read_text())["last"]["test"]
    assert list(cell.last) == ["2-way 1-shot"]
    assert cell.last["2-way 1-shot"]["leader"] == pytest.approx(result["leader"]["top1"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("npz:/home/me/a.npz,/data/b c.npz", "npz:a.npz,b c.npz"),
        ("/home/me/photos", "photos"),
        ("C:\\Users\\me\\photos", "photos"),
        ("npz:C:/data/b.npz", "npz:b.npz"),
        ("timm:local-dir:/home/me/net", "timm:local-dir:net"),
        ("package.module:function", "package.module:function"),
        ("timm:hf-hub:owner/name", "timm:hf-hub:owner/name"),
        ({"teacher": "/runs/a", "epochs": 3}, {"teacher": "a", "epochs": 3}),
    ],
)
def test_paths_lose_their_folders(value, kept):
    assert without_folders(value) == kept
