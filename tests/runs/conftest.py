"""Few digits in an npz file, and a run that was trained on them."""

import io
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_digits

from peerdistill import runs
from peerdistill.config import Config, parse
from peerdistill.runs import Run
from peerdistill.training import ConsoleLog, Interrupted

QUICK = {"backbone": "resnet8", "peers": 2, "epochs": 2, "batch_size": 32, "crop_padding": 1, "flip": "false"}


def write_few_digits(
    file: Path, classes: int = 3, samples: int = 120, names: str = "abcdefghij", dark: int = 0
) -> None:
    """Write the first images of the first classes of scikit-learn's digits; ``dark`` of their pixels become black."""
    pixels, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(labels < classes)[:samples]
    images = (pixels[rows].reshape(-1, 8, 8) * 15).astype(np.uint8)
    images.reshape(-1)[:dark] = 0
    np.savez(file, images=images, labels=labels[rows], class_names=np.array(list(names[:classes])))


def silent() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("data") / "digits.npz"
    write_few_digits(file)
    return file


@pytest.fixture(scope="session")
def write_digits() -> Callable[..., None]:
    """Return a function that writes digits, like those of `digits_file` or others."""
    return write_few_digits


@pytest.fixture(scope="session")
def quick_config(digits_file) -> Callable[..., Config]:
    """Return a function that makes the configuration of a run of 4 steps on the digits, or another with changes."""

    def make(data: str | Path = f"npz:{digits_file}", **changes) -> Config:
        options = {**QUICK, "contrast.count": 16, **changes}
        if options.get("method", "mcl-okd") not in ("mcl-okd", "crd", "crd+kd"):
            del options["contrast.count"]
        config, _ = parse([str(data), *(f"--{name}={value}" for name, value in options.items())])
        return config

    return make


@pytest.fixture(scope="session")
def train_quickly() -> Callable[..., dict]:
    """Return a function that trains without a word and returns the result."""

    def run(config: Config, path: Path | str, **how) -> dict:
        return runs.train(config, path, console=silent(), **how)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, quick_config, train_quickly) -> Run:
    """A finished run, not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    train_quickly(quick_config(), path)
    return Run(path)


@pytest.fixture(scope="session")
def state_of() -> Callable[[Run], dict[str, bytes]]:
    """Return a function that reads the weights and all else of cohort and method out of a run's last checkpoint."""

    def state(run: Run) -> dict[str, bytes]:
        last = run.checkpoints.load(run.checkpoints.last)
        return {name: value.numpy().tobytes() for part in ("cohort", "method") for name, value in last[part].items()}

    return state


@pytest.fixture(scope="session")
def stop_and_resume(train_quickly) -> Callable[[Config, Path], Run]:
    """Return a function that trains, stops by Ctrl-C at the end of the first epoch, and goes on to the end."""

    def run(config: Config, path: Path) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConsoleLog, "epoch", lambda self, record: signal.raise_signal(signal.SIGINT))
            with pytest.raises(Interrupted):
                train_quickly(config, path)
        stopped = Run(path)
        train_quickly(stopped.config, path, resume=True)
        return stopped

    return run
