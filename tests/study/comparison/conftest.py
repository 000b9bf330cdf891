"""Run folders without training: configuration, result and predictions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from peerdistill.config import Config
from peerdistill.runs import Run

IMAGES = 200
LABELS = np.arange(IMAGES) % 2


@pytest.fixture
def finished(tmp_path) -> Callable[..., Run]:
    """Return a function that writes a finished run of two classes."""

    def write(
        name: str, right: np.ndarray, *, labels: np.ndarray = LABELS, trained_on: str | None = None, **options
    ) -> Run:
        run = Run(tmp_path / name)
        run.path.mkdir()
        given = {"data": "digits", "method": "baseline", "peers": 1, **options}
        run.config_file.write_text(Config.from_dict(given).as_yaml())
        scores = {"top1": 100 * right.mean()}
        last = {"epoch": 20, "test": {"peers": [scores], "leader": scores, "ensemble": scores}}
        run.result_file.write_text(json.dumps({"last": last, "best": None, "seconds": 8.1, "cpu_seconds": 12.3}))
        if trained_on is not None:
            run.environment_file.write_text(json.dumps({"device": trained_on}))
        write_predictions(run.path / "predictions", np.where(right, labels, 1 - labels), labels)
        return run

    return write


def write_predictions(folder: Path, predicted: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir()
    np.savez(
        folder / "last_test.npz",
        class_names=np.array(["no", "yes"]),
        labels=labels.astype(np.int32),
        leader_predicted=predicted.astype(np.int32),
        leader_probability=np.ones(len(labels), np.float32),
    )


@pytest.fixture
def draw() -> Callable[[float], np.ndarray]:
    """Return a function that draws which images are classified correctly."""
    rng = np.random.default_rng(0)
    return lambda share: rng.random(IMAGES) < share
