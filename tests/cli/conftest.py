"""A home folder with data, runs and exported leaders, shared by all tests of the command line."""

import contextlib
import io
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from peerdistill import runs
from peerdistill.cli import main
from peerdistill.runs import Run

EPISODES = (
    "--method baseline --peers 1 --sharing network --ways 3 --queries 2 --episodes 1 --episodes_per_epoch 1 "
    "--validation.ways 2 --validation.episodes 2 --test.ways 2 --test.episodes 2"
)
PEERS = ("--backbone", "resnet8x4", "--peers", "2", "--epochs", "1", "--batch_size", "32", "--contrast.count", "8")
ALONE = "--method baseline --peers 1 --backbone resnet8x4 --epochs 1 --batch_size 8"


@dataclass(frozen=True)
class Outcome:
    """What a command line did."""

    code: int
    stdout: str
    stderr: str


def run_words(*words: str | Path) -> Outcome:
    """Run a command line in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main([str(word) for word in words])
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def digit_images(classes: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(labels < classes)[:100]
    return (pixels[rows].reshape(-1, 8, 8) * 15).astype(np.uint8), labels[rows]


def write_arrays(folder: Path) -> None:
    """Write digits, and versions of the file that were changed later."""
    images, labels = digit_images(3)
    names = np.array(["zero", "one", "two"])
    np.savez(folder / "digits.npz", images=images, labels=labels, class_names=names)
    np.savez(folder / "renamed.npz", images=images, labels=labels, class_names=np.array(["null", "eins", "zwei"]))
    np.savez(folder / "fewer.npz", images=images[:90], labels=labels[:90], class_names=names)
    np.savez(folder / "repainted.npz", images=255 - images, labels=labels, class_names=names)
    np.savez(folder / "lacking.npz", images=images, labels=labels)
    images, labels = digit_images(10)
    names = np.array(list("abcdefghij"))
    np.savez(folder / "small.npz", images=images, labels=labels, class_names=names)
    np.savez(folder / "ten.npz", images=images.repeat(2, 1).repeat(2, 2), labels=labels, class_names=names)


def write_picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def write_photos(folder: Path, pictures: int = 12) -> None:
    for number in range(pictures):
        write_picture(folder / ("cat", "dog")[number % 2] / f"{number}.png", number)


def write_folders(folder: Path) -> None:
    """Write folders of class folders, some of them invalid."""
    for name in ("photos", "broken", "empty", "divided/train", "divided/val", "twice/train", "twice/test"):
        write_photos(folder / name)
    (folder / "broken" / "cat" / "notes.png").write_text("no picture")
    (folder / "empty" / "bird").mkdir()
    write_picture(folder / "one" / "cat" / "0.png", 0)
    write_picture(folder / "flat" / "0.png", 0)


def train_runs(folder: Path) -> None:
    """Train on digits and on pictures without a test split; let copies of a run refer to other or missing data."""
    for words in (f"npz:digits.npz --run runs/digits {ALONE}", f"divided --run runs/divided --image_size 16 {ALONE}"):
        outcome = run_words("train", *words.split())
        assert outcome.code == 0, outcome.stderr
    assert run_words("fewshot", *f"npz:ten.npz --run runs/ten {EPISODES}".split()).code == 0
    assert run_words("export", "runs/ten", "--output", "encoder.onnx").code == 0
    for other in ("renamed", "fewer", "repainted", "gone"):
        shutil.copytree("runs/digits", f"runs/{other}")
        file = Path("runs", other, "config.yaml")
        values = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**values, "data": f"npz:{folder / other}.npz"}))
    assert run_words("export", "runs/digits", "--output", "leader.onnx").code == 0


def write_texts(folder: Path) -> None:
    texts = {
        "thesis/chapter.txt": "Once upon a time",
        "notes.jpg": "no picture",
        "notes.onnx": "no model",
        "notes.txt": "nothing at all",
        "broken.yaml": "epochs: 3\nlr: [0.1\nseed: 1\n",
        "misspelt.yaml": "epochs: 3\nlearning_rate: 0.1\n",
        "nested.yaml": "optimizer: {momentun: 0.5}\n",
        "wordy.yaml": "epochs: many\n",
        "list.yaml": "- epochs\n",
        "twice.yaml": "epochs: 1\nepochs: 2\n",
        "alias.yaml": "optimizer: &a {name: sgd, self: *a}\n",
        "many.yaml": "peers: 1000000\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    write_picture(folder / "photo.png", 1)


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
    return run_words


@pytest.fixture(scope="session", name="write_picture")
def picture_writer() -> Callable[..., None]:
    """Return a function that writes a picture of noise."""
    return write_picture


@pytest.fixture(scope="session", name="write_photos")
def photo_writer() -> Callable[..., None]:
    """Return a function that writes a folder of two class folders."""
    return write_photos


@pytest.fixture(scope="session")
def peers(home, tmp_path_factory) -> tuple[Path, Outcome]:
    """A run of two peers on digits, and what its training printed with ``--json``."""
    path = tmp_path_factory.mktemp("runs") / "peers"
    return path, run_words("train", f"npz:{home}/digits.npz", "--run", path, "--json", *PEERS)


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
    run = tmp_path_factory.mktemp("runs") / "digits"
    shutil.copytree(home / "runs/digits", run)
    outcome = run_words("export", run, "--int8", "--json")
    assert outcome.code == 0, outcome.stderr
    return run / "leader.int8.onnx", json.loads(outcome.stdout)
