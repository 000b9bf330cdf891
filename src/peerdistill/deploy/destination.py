"""Where a leader's file goes: checked before anything slow, written whole or not at all. Free of PyTorch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

from peerdistill.errors import UserError, cause, unknown_name
from peerdistill.files import publish, write_error

_DRAFTS = ".peerdistill-"

Format = Literal["safetensors", "onnx", "pt2"]


class ExportError(UserError):
    """The leader could not be written, or its file does not reproduce it. No file was left behind."""


def check_destination(output: Path, format: str, *, force: bool) -> None:
    """Raise UserError for an unknown format, or an output that is misnamed, can't be written or is there already."""
    if format not in get_args(Format):
        raise unknown_name("export format", format, get_args(Format))
    if output.suffix != f".{format}":
        raise UserError(f"{output} must end in .{format}: predict tells the format by the suffix")
    try:
        _check_free(output, force)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{output} can't be written: {cause(error)}") from error


def _check_free(output: Path, force: bool) -> None:
    folder = output.parent
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"{output} can't be written: the folder {folder} {found}")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file")
    if output.exists() and not output.is_file():
        raise UserError(f"{output} is no regular file: choose another name")
    if output.is_file() and not force:
        raise UserError(f"{output} exists: choose another name, or replace it with --force")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{output} can't be written: no permission to write into the folder {folder}")


@contextmanager
def drafted(output: Path) -> Iterator[Path]:
    """Yield where to write a draft with the suffix of ``output``, and put it under that name when the block ends.

    The output appears whole or not at all, even if the machine stops meanwhile. Nothing else is left behind, whatever
    the block raises.

    Raises:
        WriteError: If the system can't write, for example for lack of space.
    """
    try:
        with TemporaryDirectory(prefix=_DRAFTS, dir=output.parent) as folder:
            draft = Path(folder) / f"leader{output.suffix}"
            yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            publish(draft, output)
    except OSError as error:
        # What fails may also be a library's own temporary file, on another disk.
        failed = Path(error.filename or output)
        raise write_error(output if _DRAFTS in str(failed) else failed, error) from error
