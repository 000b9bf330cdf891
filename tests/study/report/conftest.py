"""A run whose class names are hostile, and a few-shot run."""

import numpy as np
import pytest

from peerdistill.runs import Run
from support.command_line import run
from support.digits import digit_images, digits_of_each_class, write_npz
from support.hostile import CLASS_NAMES, FOLDER
from support.options import PROTOTYPICAL, few_shot, option_words

PEERS = ("--backbone", "resnet8x4", "--peers", "2", "--epochs", "2", "--batch_size", "32", "--contrast.count", "8")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Run:
    """A run of two peers on four digits; not to be changed."""
    images, labels = digit_images(4, 200)
    folder = tmp_path_factory.mktemp("hostile")
    np.savez(folder / "digits.npz", images=images, labels=labels, class_names=np.array(CLASS_NAMES))
    path = folder / FOLDER
    outcome = run("train", f"npz:{folder / 'digits.npz'}", "--run", path, "--validation", "0.2", *PEERS)
    assert outcome.code == 0, outcome.stderr
    return Run(path)


@pytest.fixture(scope="session")
def episodes_run(tmp_path_factory) -> Run:
    """A few-shot run; not to be changed."""
    folder = tmp_path_factory.mktemp("fewshot")
    data = write_npz(folder / "ten.npz", *digits_of_each_class(10))
    words = option_words({**PROTOTYPICAL, **few_shot(episodes=2, validation=2, test=4)})
    outcome = run("fewshot", f"npz:{data}", f"--run={folder / 'run'}", *words)
    assert outcome.code == 0, outcome.stderr
    return Run(folder / "run")
