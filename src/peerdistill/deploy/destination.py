"""The file or folder that a leader is exported to: checked before slow work, written completely or not at all.

Importing this file does not import PyTorch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from peerdistill.deploy.formats import Format
from peerdistill.errors import UserError, cause
from peerdistill.files import SCRATCH, publish, scratch_folder, write_error


def check_destination(output: Path, format: Format, *, force: bool) -> None:
    """Check that a leader can be written to ``output``.

    Args:
        output: The file, or the folder of a format that writes one.
        format: Format of the export.
        force: Whether an existing file, or a folder with a network, may be replaced.

    Raises:
        UserError: If ``output`` has another suffix than the format, cannot be written or exists.
    """
    if output.suffix != format.suffix and not format.is_folder:
        raise UserError(f"{output} must end in {format.suffix}: predict recognises the format by the suffix")
    try:
        _check_parent(output.parent, output)
        if format.is_folder:
            _check_free_folder(output, format, force)
        else:
            _check_free(output, force)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{output} cannot be written: {cause(error)}") from error


def _check_parent(folder: Path, output: Path) -> None:
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{output} cannot be written: the folder {folder} {found}")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{output} cannot be written: no permission to write into the folder {folder}")


def _check_free_folder(output: Path, format: Format, force: bool) -> None:
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder")
    if output.is_dir() and not force:
        raise UserError(f"{output} exists: choose another name, or replace it with --force")
    if output.is_dir() and not format.recognises(output):
        raise UserError(f"{output} is a folder with other content: choose another name")


def _check_free(output: Path, force: bool) -> None:
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file")
    if output.exists() and not output.is_file():
        raise UserError(f"{output} is not a regular file: choose another name")
    if output.is_file() and not force:
        raise UserError(f"{output} exists: choose another name, or replace it with --force")


@contextmanager
def drafted(output: Path) -> Iterator[Path]:
    """Yield a draft with the suffix of ``output``, and rename it to ``output`` when the block ends.

    The output is written completely or not at all, even if the machine stops. If the block raises, no file is left.
    The draft lies in a temporary folder, in which the block may leave other files. It may itself be a folder of files;
    one that it replaces is moved away first, so that for a moment there is none.

    Raises:
        WriteError: If the system cannot write, for example because the disk is full.
    """
    try:
        with scratch_folder(output.parent) as folder:
            draft = folder / f"leader{output.suffix}"
            yield draft
            for written in files_of(draft):
                with written.open("rb") as file:
                    os.fsync(file.fileno())
            _replace(draft, output)
    except OSError as error:
        # The file may also be a library's temporary file on another disk.
        failed = Path(error.filename or output)
        raise write_error(output if SCRATCH in str(failed) else failed, error) from error


def _replace(draft: Path, output: Path) -> None:
    if not output.is_dir():
        publish(draft, output)
        return
    # Not a scratch folder: if this process is killed in between, the folder that was replaced must stay.
    with TemporaryDirectory(prefix=SCRATCH, dir=output.parent) as before:
        output.rename(Path(before) / output.name)
        publish(draft, output)


def files_of(output: Path) -> list[Path]:
    """Return the files of an exported file or folder."""
    return sorted(output.iterdir()) if output.is_dir() else [output]
