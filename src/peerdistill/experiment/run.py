"""A run is a folder. Opening one does not import PyTorch."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill.errors import UserError
from peerdistill.experiment.config import CONFIG_FILE, Config
from peerdistill.experiment.options import read_config

if TYPE_CHECKING:
    from peerdistill.training import Checkpoints

_WRITING = ".writing"


class Run:
    """The folder of a run: ``config.yaml``, ``metrics.jsonl``, ``tensorboard/``, ``checkpoints/``,
    ``environment.json`` and ``result.json``.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.config_file = self.path / CONFIG_FILE
        self.metrics_file = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.environment_file = self.path / "environment.json"
        self.result_file = self.path / "result.json"

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.config_file.is_file()

    @property
    def checkpoints(self) -> "Checkpoints":
        """The checkpoints; PyTorch is imported."""
        from peerdistill.training import Checkpoints

        return Checkpoints(self.path / "checkpoints")

    @property
    def config(self) -> Config:
        """The configuration that the run was started with.

        Raises:
            UserError: Where the folder holds no run, or its configuration was damaged.
        """
        self.require()
        return read_config(self.config_file)

    def require(self) -> None:
        """Raise UserError where the folder holds no run."""
        if not self.path.is_dir():
            raise UserError(f"there is no run folder {self.path}")
        if not self.exists:
            raise UserError(f"{self.path} holds no run: {CONFIG_FILE} is missing")

    def require_free(self) -> None:
        """Raise UserError where starting a run would write among other files."""
        if self.exists:
            raise UserError(f"{self.path} holds a run: go on with --resume, or choose another folder by --run")
        if self.path.exists() and (not self.path.is_dir() or any(self._contents())):
            raise UserError(f"{self.path} is in use: a run needs a new or empty folder")

    def _contents(self) -> Iterator[Path]:
        """Yield what is in the folder, but not what a killed process left half written."""
        return (file for file in self.path.iterdir() if not file.name.endswith(_WRITING))

    def create(self, config: Config) -> None:
        """Make the folder; from then on it holds a run that can be resumed."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.config_file, config.as_yaml())


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is either absent, as it was, or complete."""
    writing = path.with_name(path.name + _WRITING)
    with writing.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    writing.replace(path)
