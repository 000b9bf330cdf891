"""Runs on few digits: one of three peers, one single network and one that learns from episodes. Not to be changed."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pytest

from peerdistill.runs import Run
from peerdistill.study.analyses.base.analysed_run import AnalysedRun
from support.command_line import run
from support.digits import digits_of_each_class, write_digits, write_npz
from support.options import few_shot, option_words

SMALL = {"backbone": "resnet8", "epochs": 2, "batch_size": 32, "crop_padding": 1, "flip": "false", "validation": 0}
PEERS = {"peers": 3, "contrast.count": 16, "ema": 0.9}
SINGLE = {"method": "baseline", "peers": 1, "seed": 1}


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory) -> Path:
    """The folder of the runs "peers", "single" and "episodes"."""
    folder = tmp_path_factory.mktemp("analysed")
    data = write_digits(folder / "digits.npz", classes=4, samples=200)
    images, labels = digits_of_each_class(10)
    ten = write_npz(folder / "ten.npz", images, labels)
    with contextlib.chdir(folder), warnings.catch_warnings():
        lines = (
            ("train", f"npz:{data}", "--run=peers", *option_words({**SMALL, **PEERS})),
            ("train", f"npz:{data}", "--run=single", *option_words({**SMALL, **SINGLE})),
            ("fewshot", f"npz:{ten}", "--run=episodes", "--peers=2", *option_words(few_shot()), "--contrast.count=8"),
        )
        for words in lines:
            outcome = run(*words)
            assert outcome.code == 0, outcome.stderr
    return folder


@pytest.fixture(scope="session")
def peers(trained_runs) -> AnalysedRun:
    return AnalysedRun(Run(trained_runs / "peers"))


@pytest.fixture(scope="session")
def single(trained_runs) -> AnalysedRun:
    return AnalysedRun(Run(trained_runs / "single"))


@pytest.fixture(scope="session")
def episodes(trained_runs) -> AnalysedRun:
    return AnalysedRun(Run(trained_runs / "episodes"))


@pytest.fixture(scope="session")
def log_probabilities() -> tuple[np.ndarray, np.ndarray]:
    """Of 40 images and 5 classes, and labels."""
    draws = np.random.default_rng(0)
    logits = draws.normal(size=(40, 5)) * 2
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), draws.integers(0, 5, 40)
