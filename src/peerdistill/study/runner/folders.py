"""Where the runs of the cells are, and how far each of them is."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from peerdistill.config.config import CONFIG_FILE, Config
from peerdistill.errors import UserError
from peerdistill.files import LOCK_FILE
from peerdistill.runs.run import Run
from peerdistill.study.plan import Cell, Place, digest
from peerdistill.study.record import Status
from peerdistill.study.runner.job import Claim

_OWN = ".reproduce"
"""Folder for locks and for what failed trainings printed."""

_Key = tuple[str, int, str, str | None]


class Folders:
    """The runs of a study in one folder.

    A run belongs to a cell if its folder has the cell's name, or if its configuration, its seed and its data are those
    of the cell: trainings that were started by hand count too.

    Args:
        root: The folder.
        places: Where the data are, by data set.
        devices: Number of devices of each training.
    """

    def __init__(self, root: Path, places: Mapping[str, Place], devices: int = 1):
        self.root = root
        self.places = places
        self.devices = devices
        self._adopted: dict[str, Path] = {}

    def run_of(self, cell: Cell) -> Run:
        """Return the run of a cell; its folder need not exist."""
        return Run(self._adopted.get(cell.name, self.root / cell.name))

    def status(self, cell: Cell) -> Status:
        """Return "finished", "interrupted" or "planned", whatever the process that trains it does."""
        run = self.run_of(cell)
        if not run.exists:
            return "planned"
        if run.result_file.exists():
            return "finished"
        return "interrupted" if run.has_results else "planned"

    def is_taken(self, cell: Cell) -> bool:
        """Return whether a process trains the run at this moment."""
        lock = self.run_of(cell).path / LOCK_FILE
        if not lock.exists():
            return False
        claim = Claim(lock)
        if not claim.take():
            return True
        claim.release()
        return False

    def log(self, cell: Cell) -> Path:
        """Return the file for what the training of a cell prints."""
        return self.root / _OWN / f"{cell.name}.log"

    def claim(self, cell: Cell) -> Claim:
        """Return the claim on a cell."""
        return Claim(self.root / _OWN / f"{cell.name}.lock")

    def words(self, cell: Cell) -> list[str]:
        """Return the command that trains a cell, or that continues its run.

        Raises:
            UserError: It is not known where the data are.
        """
        place = self.places[cell.dataset]
        how = [f"--run={self.run_of(cell).path}", *([f"--devices={self.devices}"] if self.devices > 1 else [])]
        if self.status(cell) == "interrupted":
            options = place.as_options()
            where = [options.pop("data"), *(f"--{name}={value}" for name, value in options.items())]
            return [cell.command, *where, "--resume", *how]
        return [cell.command, *cell.words(place, self._teacher(cell)), *how]

    def config(self, cell: Cell) -> Config:
        """Return the configuration of a cell with the present places of its data and its teacher.

        Raises:
            UserError: It is not known where the data are.
        """
        return cell.config(self.places[cell.dataset], self._teacher(cell))

    def adopt(self, cells: Iterable[Cell]) -> dict[str, Path]:
        """Find runs in folders of other names that are those of cells, and return them by the name of the cell."""
        missing = {cell.name: cell for cell in cells if not self.run_of(cell).exists and self._has_place(cell)}
        if not missing:
            return {}
        strangers = self._strangers({cell.name for cell in missing.values()})
        found: dict[str, Path] = {}
        for cell in missing.values():  # teachers come first: the configuration of a student names its teacher's run
            path = strangers.get(_key(self.config(cell))) if strangers else None
            if path is not None:
                found[cell.name] = self._adopted[cell.name] = path
        return found

    def _strangers(self, names: set[str]) -> dict[_Key, Path]:
        """Return the runs in folders that have none of these names, by what makes them the run of a cell."""
        found: dict[_Key, Path] = {}
        for file in sorted(self.root.glob(f"*/{CONFIG_FILE}")):
            if file.parent.name not in names:
                try:
                    found.setdefault(_key(Run(file.parent).config), file.parent)
                except UserError:  # the file of something else, or damaged
                    continue
        return found

    def _has_place(self, cell: Cell) -> bool:
        return self.places[cell.dataset].data is not None

    def _teacher(self, cell: Cell) -> Path | None:
        return None if cell.teacher is None else self.run_of(cell.teacher).path


def _key(config: Config) -> _Key:
    test = getattr(config.data, "test", None)
    return digest(config), config.training.seed, config.data.data, test
