"""A run is a folder. Opening one does not import PyTorch."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill.config.command_line import read_config
from peerdistill.config.config import CONFIG_FILE, Config
from peerdistill.errors import Failure, UserError, cause
from peerdistill.files import LOCK_FILE, WRITING, HeldFolder, write_whole
from peerdistill.paths import user_path

if TYPE_CHECKING:
    from peerdistill.training import Checkpoints


PLACES = ("data", "test", "root")
"""The options that say where data is."""


class Run:
    """The folder of a run: ``config.yaml``, ``metrics.jsonl``, ``tensorboard/``, ``checkpoints/``,
    ``environment.json`` and ``result.json``.

    Args:
        path: The folder.
        places: Where the data is now, where that is not what ``config.yaml`` says: ``data``, ``test`` or ``root``.
    """

    def __init__(self, path: Path | str, places: Mapping[str, str] | None = None):
        self.path = user_path(path, "the run folder")
        self.places = dict(places or {})
        self.config_file = self.path / CONFIG_FILE
        self.metrics_file = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.environment_file = self.path / "environment.json"
        self.result_file = self.path / "result.json"
        self._checkpoints = self.path / "checkpoints"
        self._held = HeldFolder(self.path)

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.config_file.is_file()

    @property
    def has_results(self) -> bool:
        """Whether anything that training made is there: a checkpoint, metrics or a result."""
        files = [*self._checkpoints.glob("*.pt"), self.result_file, self.metrics_file]
        return any(file.is_file() and file.stat().st_size for file in files)

    @property
    def checkpoints(self) -> "Checkpoints":
        """The checkpoints; PyTorch is imported."""
        from peerdistill.training import Checkpoints

        return Checkpoints(self._checkpoints)

    @property
    def config(self) -> Config:
        """The configuration that the run was started with, its data where it is now.

        Raises:
            UserError: Where the folder holds no run, or its configuration was damaged.
        """
        self.require()
        config = read_config(self.config_file)
        return config.moved(self.places) if self.places else config

    def require(self) -> None:
        """Raise UserError where the folder holds no run."""
        if not self.path.is_dir():
            raise UserError(f"there is no run folder {self.path}")
        if not self.exists:
            raise UserError(f"{self.path} holds no run: {CONFIG_FILE} is missing")

    def require_free(self) -> None:
        """Raise UserError where starting a run would write among other files, or beside another process.

        A run that was ended before anything was trained does not count.
        """
        if self.path.exists() and not self.path.is_dir():
            raise self._in_use()
        if (self.path / LOCK_FILE).exists():
            with self.held():
                self._require_nothing_trained()
        else:
            self._require_nothing_trained()

    def _require_nothing_trained(self) -> None:
        if self.exists and self.has_results:
            raise UserError(f"{self.path} holds a run: go on with --resume, or choose another folder by --run")
        if self.exists:
            read_config(self.config_file)  # else it is the file of something else
        if others := set(self._contents()) - set(self._of_a_begun_run()):
            raise UserError(f"{self.path} is in use ('{min(others).name}'): a run needs a new or empty folder")

    def _in_use(self) -> UserError:
        return UserError(f"{self.path} is in use: a run needs a new or empty folder")

    def _contents(self) -> Iterator[Path]:
        """Yield the files and empty folders inside."""
        return (file for file in self.path.rglob("*") if not file.is_dir() or not any(file.iterdir()))

    def _of_a_begun_run(self) -> Iterator[Path]:
        """Yield what a process may leave that was killed before anything was trained."""
        yield self.path / LOCK_FILE
        yield self.path / (CONFIG_FILE + WRITING)
        if self.exists:
            yield from (self.config_file, self.environment_file, self._checkpoints, self.tensorboard)
            yield self.path / (self.environment_file.name + WRITING)
            yield from self._checkpoints.glob(f"*{WRITING}")
            yield from self.tensorboard.glob("events.out.tfevents.*")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in the folder.

        Raises:
            UserError: Where another process does.
        """
        self._held.hold()
        try:
            yield
        finally:
            self._held.release()

    def check_in_place(self) -> None:
        """Raise Failure where the held folder was removed, renamed or emptied by somebody else."""
        self._held.check_in_place()
        if not self.exists:
            raise Failure(f"{self.config_file} was removed while the run was trained")

    @contextmanager
    def started(self, config: Config) -> Iterator[None]:
        """Make the folder and hold it; from then on it is a run that can be resumed.

        Where this is left by an error before anything was trained, the folder is as it was before.

        Raises:
            UserError: Where the folder is not free, or can't be made.
            WriteError: Where the configuration can't be written.
        """
        new = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path} can't be made: {cause(error)}") from error
        try:
            with self.held():
                self._require_nothing_trained()
                try:
                    self._clear()
                    write_whole(self.config_file, config.as_yaml())
                    yield
                except BaseException:
                    if not self.has_results:
                        self._clear()
                    raise
        except BaseException:
            for folder in new:
                with suppress(OSError):
                    folder.rmdir()
            raise

    def remember_places(self, config: Config) -> None:
        """Write down where ``config`` has the data, where that is not where the run was started with it.

        Raises:
            WriteError: Where the configuration can't be written.
        """
        known = self.config
        now = {name: getattr(config.data, name, None) for name in PLACES}
        moved = {name: place for name, place in now.items() if place and place != getattr(known.data, name)}
        if moved:
            write_whole(self.config_file, known.moved(moved).as_yaml())

    def create(self, config: Config) -> None:
        """Make a run that nothing was trained of yet."""
        with self.started(config):
            pass

    def _clear(self) -> None:
        """Remove what a run writes before anything is trained, the configuration last."""
        begun = [path for path in self._of_a_begun_run() if path not in (self.config_file, self.path / LOCK_FILE)]
        for path in (*begun, self.metrics_file, self.config_file):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        for folder in (self._checkpoints, self.tensorboard):
            with suppress(OSError):
                folder.rmdir()
