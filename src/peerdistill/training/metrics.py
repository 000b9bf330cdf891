"""``metrics.jsonl``: one line an epoch, nothing in it that depends on the machine's speed."""

import json
import os
from pathlib import Path
from typing import Any


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
        """Write one line and wait until it is on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

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
