"""``metrics.jsonl``: one line an epoch, nothing in it that depends on the machine's speed."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from peerdistill.files import write_error


class MetricsFile:
    """Lines of JSON that a resumed run can take back to where its checkpoint was written.

    Args:
        path: The file; made with the first line.
    """

    def __init__(self, path: Path):
        self.path = path

    @property
    def size(self) -> int:
        """Bytes written so far: what a checkpoint remembers."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, record: dict[str, Any]) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            WriteError: Where it can't be written. The lines before it stay.
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
        """Take back what was written after the file had ``size`` bytes, when a checkpoint was written.

        Returns:
            A sentence where lines from before the checkpoint are lost, else nothing.
        """
        found = self.size
        if found >= size:
            self.truncate(size)
            return ""
        if found:
            self.truncate(self.path.read_bytes().rfind(b"\n") + 1)  # a line that was cut short is none
        what = f"has lost {size - found} of {size} bytes" if found else "is missing or empty"
        return f"{self.path} {what}: lines of epochs that were trained before are gone"

    def truncate(self, size: int) -> None:
        """Take back what was written after the file had ``size`` bytes."""
        if self.size > size:
            with self.path.open("r+b") as file:
                file.truncate(size)

    def read(self) -> list[dict[str, Any]]:
        """Return all lines."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
