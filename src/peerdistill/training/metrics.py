"""``metrics.jsonl``: one line per epoch. It contains no timings, so a repeated run writes the same bytes."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from peerdistill.files import write_error

METRICS_FILE = "metrics.jsonl"
"""Name of the file in a run folder."""


class MetricsFile:
    """Lines of JSON. A resumed run can truncate them to the size at its checkpoint.

    Args:
        path: The file, created with the first line.
    """

    def __init__(self, path: Path):
        self.path = path

    @property
    def size(self) -> int:
        """Size in bytes, which checkpoints store."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, record: dict[str, Any]) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            WriteError: If the line cannot be written. Previous lines are kept.
        """
        size = self.size
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                self.truncate(size)
            raise write_error(self.path, error) from error

    def go_back(self, size: int) -> str:
        """Remove what was written after a checkpoint, when the file had ``size`` bytes.

        Returns:
            A warning if lines from before the checkpoint are missing, otherwise an empty string.
        """
        found = self.size
        if found >= size:
            self.truncate(size)
            return ""
        if found:
            self.truncate(self.path.read_bytes().rfind(b"\n") + 1)  # drops an incomplete last line
        what = f"has lost {size - found} of {size} bytes" if found else "is missing or empty"
        return f"{self.path} {what}: lines of earlier epochs are gone"

    def truncate(self, size: int) -> None:
        """Shorten the file to ``size`` bytes. A shorter or missing file is not changed."""
        if self.size > size:
            with self.path.open("r+b") as file:
                file.truncate(size)

    def read(self) -> list[dict[str, Any]]:
        """Return all lines."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
