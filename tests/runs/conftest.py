"""Few digits in an npz file, and a run that was trained on them."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from peerdistill import runs
from peerdistill.config import Config, parse
from peerdistill.runs import Run
from peerdistill.training import ConsoleLog, Interrupted
from support.console import silent_console
from support.digits import write_digits
from support.options import option_words

QUICK = {"backbone": "resnet8", "peers": 2, "epochs": 2, "batch_size": 32, "crop_padding": 1, "flip": "false"}


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data") / "digits.npz")


@pytest.fixture(scope="session")
def quick_config(digits_file) -> Callable[..., Config]:
    """Return a function that makes the configuration of a run of 4 steps on the digits, or another with changes."""

    def make(data: str | Path = f"npz:{digits_file}", **changes) -> Config:
        options = {**QUICK, "contrast.count": 16, **changes}
        if options.get("method", "mcl-okd") not in ("mcl-okd", "crd", "crd+kd"):
            del options["contrast.count"]
        config, _ = parse([str(data), *option_words(options)])
        return config

    return make


@pytest.fixture(scope="session")
def train_quickly() -> Callable[..., dict]:
    """Return a function that trains without a word and returns the result."""

    def run(config: Config, path: Path | str, **how) -> dict:
        return runs.train(config, path, console=silent_console(), **how)

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
