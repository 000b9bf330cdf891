"""Checkpoints that survive being killed at any moment."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from peerdistill.errors import UserError

_WRITING = ".writing"


class Checkpoints:
    """The checkpoints of one run: ``last.pt``, the one before it, and ``best.pt``.

    A file is written under a temporary name, synced and renamed: what bears its name is whole. The last but one is
    kept in case the disk damages the last. All of them are plain ``torch.save`` files of tensors and numbers, read with
    ``weights_only=True``.

    Args:
        folder: Where they lie; made when the first one is saved.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"
        self.best = folder / "best.pt"

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Write ``state`` as the last checkpoint, and as the best one too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        writing = self.last.with_name(self.last.name + _WRITING)
        # What a killed run left there may be `best` under a second name: a new file, not new content.
        writing.unlink(missing_ok=True)
        with writing.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if best:
            # Before `last` moves on: a run killed in between trains this epoch again and finds it best again.
            _same_file(writing, self.best)
        if self.last.exists():
            self.last.replace(self.previous)
        writing.replace(self.last)
        _sync_folder(self.folder)

    def load(self, path: Path) -> dict[str, Any]:
        """Return what was saved as ``path``, one of ``last``, ``previous`` and ``best``.

        Raises:
            UserError: Where it is missing or damaged.
        """
        if not path.exists():
            raise UserError(f"there is no checkpoint {path}")
        try:
            _check_sums(path)
            return torch.load(path, map_location="cpu", weights_only=True)
        # On damaged bytes zipfile, pickle and PyTorch raise almost anything: OSError, RuntimeError, UnicodeError, ...
        except Exception as error:
            raise UserError(f"the checkpoint {path} is damaged") from error

    def load_last(self) -> tuple[dict[str, Any] | None, str]:
        """Return the newest whole checkpoint and, where it is not the last one, a sentence that says so.

        Returns:
            None in place of the checkpoint where none was written yet.

        Raises:
            UserError: Where all that were written are damaged.
        """
        if not self.last.exists() and not self.previous.exists():
            return None, ""
        try:
            return self.load(self.last), ""
        except UserError as error:
            if not self.previous.exists():
                raise UserError(f"{error}, and there is none before it") from error
            return self.load(self.previous), f"{error}: going on from the one before it"


def _check_sums(path: Path) -> None:
    """Raise BadZipFile where the archive that ``torch.save`` wrote lost the checksums it was written with."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise zipfile.BadZipFile(f"wrong checksum of {broken}")


def _same_file(source: Path, target: Path) -> None:
    """Give ``target`` the content of ``source``, by a second name where the file system has links."""
    temporary = target.with_name(target.name + _WRITING)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def _sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
