"""What a tracker outside the run folder already has of a run."""

import json
from pathlib import Path
from typing import Any

from peerdistill.errors import reading
from peerdistill.files import write_whole

_RUN = "run"


class Mark:
    """A small file in the run folder: the identity of the tracker's run, and how far it has been logged.

    A run that is resumed repeats the steps since its last checkpoint. A tracker cannot forget them, so what it has
    already must not be sent again. Progress is noted before it is sent: after a power cut, a point may be missing, but
    none is there twice.

    Args:
        file: The file. Its folder is created with it.

    Raises:
        UserError: The file is damaged.
    """

    def __init__(self, file: Path):
        self._file = file
        self._values: dict[str, Any] = {}
        if file.exists():
            with reading(f"{file} is damaged, remove it to log the rest of the run as a new one"):
                self._values = dict(json.loads(file.read_text(encoding="utf-8")))

    @property
    def run(self) -> str | None:
        """Identity of the tracker's run; None if it has none yet."""
        return self._values.get(_RUN)

    @run.setter
    def run(self, identity: str) -> None:
        self._write({_RUN: identity})

    def passes(self, what: str, number: int) -> bool:
        """Return whether ``number`` is higher than all before, and note it.

        Args:
            what: What is counted, such as "step".
            number: The number of steps or epochs.
        """
        if number <= self._values.get(what, 0):
            return False
        self._write({what: number})
        return True

    def _write(self, values: dict[str, Any]) -> None:
        self._values |= values
        self._file.parent.mkdir(exist_ok=True)
        write_whole(self._file, json.dumps(self._values) + "\n")
