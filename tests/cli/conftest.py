"""A home folder with data, runs and exported leaders, shared by all tests of the command line."""

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from peerdistill import runs
from peerdistill.runs import Run
from support.command_line import Outcome, run
from support.digits import digit_images, write_npz
from support.options import PROTOTYPICAL, few_shot, option_words
from support.photos import write_noise, write_photos

EPISODES = option_words({**PROTOTYPICAL, **few_shot(episodes=1, validation=2, test=2)})
PEERS = (
    *("--backbone", "resnet8x4", "--peers", "2", "--epochs", "1", "--batch_size", "32", "--contrast.count", "8"),
    *("--ensemble", "1"),  # after one epoch, the leader learns little from a weak ensemble
)
ALONE = "--method baseline --peers 1 --backbone resnet8x4 --epochs 1 --batch_size 8"


def write_arrays(folder: Path) -> None:
    """Write digits, and versions of the file that were changed later."""
    images, labels = digit_images(3, 100)
    names = np.array(["zero", "one", "two"])
    np.savez(folder / "digits.npz", images=images, labels=labels, class_names=names)
    np.savez(folder / "renamed.npz", images=images, labels=labels, class_names=np.array(["null", "eins", "zwei"]))
    np.savez(folder / "fewer.npz", images=images[:90], labels=labels[:90], class_names=names)
    np.savez(folder / "repainted.npz", images=255 - images, labels=labels, class_names=names)
    np.savez(folder / "lacking.npz", images=images, labels=labels)
    images, labels = digit_images(10, 100)
    write_npz(folder / "small.npz", images, labels)
    write_npz(folder / "ten.npz", images.repeat(2, axis=1).repeat(2, axis=2), labels)


def write_folders(folder: Path) -> None:
    """Write folders of class folders, some of them invalid."""
    for name in ("photos", "broken", "empty", "divided/train", "twice/train", "twice/test"):
        write_photos(folder / name)
    write_photos(
        folder / "divided" / "val", seed=1000
    )  # not the images of its training, of which a warning would speak
    (folder / "broken" / "cat" / "notes.png").write_text("no picture")
    (folder / "empty" / "bird").mkdir()
    write_noise(folder / "one" / "cat" / "0.png", 0)
    write_noise(folder / "flat" / "0.png", 0)


def train_runs(folder: Path) -> None:
    """Train on digits and on pictures without a test split; let copies of a run refer to other or missing data."""
    for line in (f"npz:digits.npz --run runs/digits {ALONE}", f"divided --run runs/divided --image_size 16 {ALONE}"):
        outcome = run("train", *line.split())
        assert outcome.code == 0, outcome.stderr
    assert run("fewshot", "npz:ten.npz", "--run=runs/ten", *EPISODES).code == 0
    assert run("export", "runs/ten", "--output", "encoder.onnx").code == 0
    for other in ("renamed", "fewer", "repainted", "gone"):
        shutil.copytree("runs/digits", f"runs/{other}")
        file = Path("runs", other, "config.yaml")
        values = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**values, "data": f"npz:{folder / other}.npz"}))
    assert run("export", "runs/digits", "--output", "leader.onnx").code == 0


def write_texts(folder: Path) -> None:
    texts = {
        "thesis/chapter.txt": "Once upon a time",
        "notes.jpg": "no picture",
        "notes.onnx": "no model",
        "notes.pt2": "no program",
        "notes.txt": "nothing at all",
        "broken.yaml": "epochs: 3\nlr: [0.1\nseed: 1\n",
        "misspelt.yaml": "epochs: 3\nlearning_rate: 0.1\n",
        "nested.yaml": "optimizer: {momentun: 0.5}\n",
        "wordy.yaml": "epochs: many\n",
        "list.yaml": "- epochs\n",
        "twice.yaml": "epochs: 1\nepochs: 2\n",
        "alias.yaml": "optimizer: &a {name: sgd, self: *a}\n",
        "many.yaml": "peers: 1000000\n",
        "kinds.csv": "path,kind\ncat/0.png,cat\n",
        "absent.csv": "path,label\ncat/99.png,cat\n",
        "splits.csv": "path,label,split\ncat/0.png,cat,first\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    write_noise(folder / "photo.png", 1)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """The folder; tests must not change it."""
    folder = tmp_path_factory.mktemp("home")
    write_arrays(folder)
    write_folders(folder)
    write_texts(folder)
    with contextlib.chdir(folder), warnings.catch_warnings():
        train_runs(folder)
    return folder


@pytest.fixture
def at_home(home, monkeypatch) -> Path:
    """The folder, as the working directory of a test."""
    monkeypatch.chdir(home)
    return home


@pytest.fixture(scope="session")
def peerdistill() -> Callable[..., Outcome]:
    """Return a function that runs a command line in this process."""
    return run


@pytest.fixture(scope="session")
def peers(home, tmp_path_factory) -> tuple[Path, Outcome]:
    """A run of two peers on digits, and what its training printed with ``--json``."""
    path = tmp_path_factory.mktemp("runs") / "peers"
    return path, run("train", f"npz:{home}/digits.npz", "--run", path, "--json", *PEERS)


@pytest.fixture(scope="session")
def digit_pictures(home, tmp_path_factory) -> list[Path]:
    """Test images of the digits as picture files."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels, split = runs.sample_pictures(Run(home / "runs/digits"), 6)
    assert split == "test"
    files = [folder / f"{number}.png" for number in range(len(pixels))]
    for file, picture in zip(files, pixels, strict=True):
        Image.fromarray(picture[0].numpy()).save(file)
    return files


@pytest.fixture(scope="session")
def int8(home, tmp_path_factory) -> tuple[Path, dict]:
    """The int8 leader of a run on digits, and what its export printed with ``--json``."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    shutil.copytree(home / "runs/digits", path)
    outcome = run("export", path, "--int8", "--json")
    assert outcome.code == 0, outcome.stderr
    return path / "leader.int8.onnx", json.loads(outcome.stdout)
