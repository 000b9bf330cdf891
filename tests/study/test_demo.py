"""A short demonstration: its files, and whether its text follows from its numbers."""

import json
import os
import re
import time
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from peerdistill.study import demo
from peerdistill.study.demo import Plan
from peerdistill.study.spread import spread
from support.console import printed, silent_console
from support.digits import FULL_RANGE, digit_images

PLAN = Plan(seeds=(3, 4, 5), labelled=6, epochs=1, longer=2, longer_seeds=2)


def test_the_size_of_the_demonstration():
    assert Plan.of(seeds=12, epochs=15) == Plan()
    assert [len(Plan.of(seeds=2, epochs=1).ways(seed)) for seed in (8, 9)] == [3, 3]


class Here(Executor):
    """Runs everything at once in this process: starting processes takes seconds."""

    def submit(self, function, /, *args, **kwargs):
        done = Future()
        done.set_result(function(*args, **kwargs))
        return done


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[Path, str]:
    """Folder and output of a short demonstration."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    console = silent_console(width=80)
    demo.run_demo(folder, console, PLAN, workers=lambda: nullcontext(Here()))
    return folder, printed(console)


def test_trainings_run_in_other_processes_and_are_cancelled_after_an_error():
    waiting: list[Future] = []

    def fail_early() -> None:
        with demo.processes() as pool:
            assert pool.submit(os.getpid).result() != os.getpid()
            waiting.extend(pool.submit(time.sleep, 0.1) for _ in range(50))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_early()
    assert waiting[-1].cancelled()


def accuracies(folder: Path, way: str, predictor: str) -> list[float]:
    files = [folder / way / f"seed-{seed}" / "result.json" for seed in PLAN.seeds]
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    return [result["last"]["test"][predictor]["top1"] for result in results]


def test_the_table_has_mean_deviation_and_paired_interval_of_the_runs(shown):
    folder, said = shown
    alone = np.array(accuracies(folder, "alone", "leader"))
    rows = {
        "longer, 2 seeds": accuracies(folder, "longer", "leader"),
        "leader of four": accuracies(folder, "mcl-okd", "leader"),
        "their ensemble": accuracies(folder, "mcl-okd", "ensemble"),
    }
    for label, found in rows.items():
        gain = spread(list(np.array(found) - alone[: len(found)]))
        line = next(line for line in said.splitlines() if label in line)
        assert f"{np.mean(found):.1f} ± {np.std(found, ddof=1):.1f}" in line
        assert f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]" in line
    for seed, before in zip(PLAN.seeds, alone, strict=True):
        assert f"seed {seed}: alone {before:.1f} %" in said
    assert max(map(len, said.splitlines())) <= 80 or str(folder) in said


def test_training_and_test_images_are_disjoint_and_the_plan_s_fraction_of_labels_is_wrong(tmp_path):
    plan = Plan(seeds=(0,))
    demo.write_data(tmp_path / "data", plan)
    train, test = (np.load(tmp_path / "data" / name) for name in ("train-0.npz", "test.npz"))
    images, labels = digit_images(scale=FULL_RANGE)
    truth = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [truth[image.tobytes()] for image in test["images"]] == test["labels"].tolist()
    right = np.array([truth[image.tobytes()] for image in train["images"]])
    assert np.bincount(right).tolist() == [plan.labelled] * 10
    assert np.mean(right != train["labels"]) == pytest.approx(plan.wrong, abs=0.07)
    assert not {image.tobytes() for image in train["images"]} & {image.tobytes() for image in test["images"]}


def test_an_exported_leader_classifies_pictures(shown):
    folder, said = shown
    session = onnxruntime.InferenceSession(folder / "leader.onnx")
    assert session.get_inputs()[0].shape[1:] == [1, 8, 8]
    assert len(list((folder / "pictures").glob("*.png"))) == 40
    assert re.search(r"\d+ of 40 pictures right", said)
    assert (folder / "curves.png").stat().st_size > 10_000
    assert (folder / "predictions.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([2.0, 2.1, 1.9], "2.0 points better"),
        ([-2.0, -2.1, -1.9], "2.0 points worse"),
        ([2.0, -2.1, 0.2], "neither better nor worse"),
    ],
)
def test_the_verdict_follows_the_interval(gains, words):
    def scores(accuracies: list[float]) -> list:
        return [demo.Score(top1, top1, 1.0, {"leader": 1, "cohort": 4}) for top1 in accuracies]

    peers = scores([80 + gain for gain in gains])
    said = demo.verdict({"alone": scores([80.0] * 3), "longer": scores([80.0, 80.1, 79.9]), "mcl-okd": peers})
    leader, ensemble, longer = said.splitlines()[1:]
    assert words in leader
    assert words in ensemble
    assert "neither better nor worse" in longer
