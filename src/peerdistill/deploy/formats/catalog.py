"""Formats by name and by suffix. Importing this file imports neither PyTorch nor NumPy."""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from peerdistill.deploy.formats.format import Format
from peerdistill.errors import UserError, unknown_name
from peerdistill.user_code import user_object

if TYPE_CHECKING:
    from peerdistill.deploy.formats.format import Opened

FORM = "package.module:FORMAT"
"""How a format of the user's own code is named."""


def discover() -> dict[str, Format]:
    """Return the formats of all files in this folder: formats that need no calibration first, then by name."""
    formats = []
    for file in pkgutil.iter_modules(sys.modules["peerdistill.deploy.formats"].__path__):
        format = getattr(import_module(f"{__package__}.{file.name}"), "FORMAT", None)
        if format is not None:
            formats.append(format)
    return {format.name: format for format in sorted(formats, key=lambda one: (one.needs_calibration, one.name))}


FORMATS: dict[str, Format] = discover()
"""The formats of the package by name."""


def find(name: str) -> Format:
    """Return a format.

    Args:
        name: A key of ``FORMATS``, or ``package.module:FORMAT`` for a :class:`Format` of the user's own code.

    Raises:
        UserError: If the name is unknown, the module cannot be imported or it does not hold a format of that name.
    """
    if name in FORMATS:
        return FORMATS[name]
    if ":" not in name:
        raise unknown_name("export format", name, [*FORMATS, FORM])
    found = user_object(name, "export format")
    if not isinstance(found, Format):
        raise UserError(
            f"export format {name} must be a peerdistill.deploy.formats.Format, found "
            f"{'nothing' if found is None else f'a {type(found).__name__}'}"
        )
    return found


def format_of_file(path: Path) -> Format:
    """Return the format that a file has by its suffix, or a folder by the file that marks it.

    Raises:
        UserError: If no format of the package has this suffix.
    """
    for format in FORMATS.values():
        if format.recognises(path):
            return format
    allowed = ", ".join(sorted({format.suffix for format in FORMATS.values() if not format.is_folder}))
    raise UserError(
        f"{path} is not a model: found suffix '{path.suffix}', allowed are {allowed}; a format of your own is named by "
        f"--format {FORM}"
    )


def is_model_folder(path: Path) -> bool:
    """Return whether a folder holds an exported network, and not a run."""
    return any(format.is_folder and format.recognises(path) for format in FORMATS.values())


def open_scorer(path: Path | str, format: Format | str | None = None, *, trust: bool = False) -> "Opened":
    """Return the scorer and the card of an exported leader.

    The scorer raises UserError if the file cannot score the images or if its outputs do not match its card.

    A ``.pt2`` file is a program, and ``torch.export.load`` trusts its contents: such a file is refused without
    ``trust``. ``.onnx`` and ``.safetensors`` files hold data only.

    Args:
        path: The file or folder.
        format: Its format, or the name of its format; by default the suffix decides.
        trust: Open the file even if this may run code that it holds.

    Raises:
        UserError: If the file is missing, has an unknown suffix, may run code and is not trusted, is broken, was not
            exported by this package, or does not match its card.
    """
    path = Path(path)
    if format is None:
        format = format_of_file(path)
    elif isinstance(format, str):
        format = find(format)
    if not (path.is_dir() if format.is_folder else path.is_file()):
        raise UserError(f"{path} is not a model: {'it is not a file' if path.exists() else 'it does not exist'}")
    if format.runs_code and not trust:
        raise UserError(
            f"{path} is a program, which can do anything when it is opened: add --trust (in Python trust=True) if you "
            "know its origin; .onnx and .safetensors files hold data only"
        )
    try:
        score, card = format.open(path)
    except UserError:
        raise
    except Exception as error:  # the readers of the formats have no narrower base class in common
        reason = shorten(str(error) or type(error).__name__, 200)
        raise UserError(f"{path} is not a model: cannot read it as {format.name} ({reason})") from error
    from peerdistill.deploy.scorers import checked_scorer

    return checked_scorer(score, card, path), card
