"""A JSON file of a run folder."""

import json
from pathlib import Path
from typing import Any

from peerdistill.errors import UserError, reading


def read_object(file: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if there is no such file.

    Raises:
        UserError: The file cannot be read, is no JSON, or holds something else than an object.
    """
    if not file.is_file():
        return None
    with reading(f"{file} cannot be read"):
        found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise UserError(f"{file} cannot be read: it holds no JSON object")
    return found
