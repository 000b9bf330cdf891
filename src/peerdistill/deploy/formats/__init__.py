"""Export formats: one file each, which holds ``FORMAT`` and is found because it is in this folder.

Importing this package imports neither PyTorch nor NumPy: the command line lists the formats.
"""

from peerdistill.deploy.formats.catalog import (
    FORM,
    FORMATS,
    discover,
    find,
    format_of_file,
    is_model_folder,
    open_scorer,
)
from peerdistill.deploy.formats.format import Check, ExportError, Format, Leader

__all__ = [
    "FORM",
    "FORMATS",
    "Check",
    "ExportError",
    "Format",
    "Leader",
    "discover",
    "find",
    "format_of_file",
    "is_model_folder",
    "open_scorer",
]
