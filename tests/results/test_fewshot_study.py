"""The runs of the few-shot comparisons in docs/results; their accuracies are those of `evaluate`."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from peerdistill.cli import main
from peerdistill.runs import Run, evaluate_episodes

OPTIONS = (
    "--ways 3 --shots 1 --queries 2 --episodes_per_epoch 1 --validation.queries 2 --validation.episodes 2 "
    "--validation.ways 2 --test.ways 2 --test.queries 2 --test.episodes 2"
)


@pytest.fixture
def arrays(tmp_path) -> Path:
    """Enough classes for 5-way 5-shot tests: 25 kinds of stripes, 20 images each."""
    images = np.random.default_rng(0).integers(0, 200, (25, 20, 16, 16), dtype=np.uint8)
    for number in range(25):
        images[number, :, number % 16 :: 2 + number // 16] += 55
    file = tmp_path / "stripes.npz"
    names = [f"stripes{number}" for number in range(25)]
    np.savez(file, images=images.reshape(-1, 16, 16), labels=np.arange(25).repeat(20), class_names=names)
    return file


def test_each_run_is_trained_once(arrays, tmp_path, monkeypatch):
    study_module = import_module("fewshot_study")
    # In this process: starting PyTorch four times would take most of the test.
    in_process = SimpleNamespace(run=lambda words, **how: main(words[1:]), DEVNULL=None)
    monkeypatch.setattr(study_module, "subprocess", in_process)
    cells = (
        study_module.Cell("baseline", "one network", "--method baseline --peers 1"),
        study_module.Cell("DML", "branch", "--method dml --peers 2 --sharing branch"),
        study_module.Cell("RKD-D", "one student", "--method rkd-d", needs_teacher=True),
    )
    study = study_module.Study(f"npz:{arrays}", episodes=1, cells=cells, seeds=(0, 1), options=OPTIONS)
    runs = study_module.Runs(study, tmp_path / "runs")
    planned = [(cell.label, seed) for cell, seed in study.planned()]
    assert planned[:3] == [("baseline", 0), ("baseline", 1), ("DML", 0)]
    assert len(set(planned)) == 6
    for cell, seed in ((cells[0], 0), (cells[0], 1), (cells[1], 0), (cells[2], 0)):
        runs.train(cell, seed, tmp_path)
    before = runs.folder(cells[0], 0).stat().st_mtime_ns
    runs.train(cells[0], 0, tmp_path)
    assert runs.folder(cells[0], 0).stat().st_mtime_ns == before
    student = (runs.folder(cells[2], 0) / "config.yaml").read_text()
    assert str(runs.folder(cells[0], 1)) in student

    dml = runs.folder(cells[1], 0)
    assert [runs.peers(runs.folder(cells[0], 0)), runs.peers(dml)] == [1, 2]
    for result, leader, ensemble in zip(
        evaluate_episodes(Run(dml), study.episode_sets), runs.leader(dml), runs.ensemble(dml), strict=True
    ):
        evaluation = result.evaluation()
        assert leader.mean() == pytest.approx(evaluation.leader.top1)
        assert ensemble.mean() == pytest.approx(evaluation.ensemble.top1)
