"""Study files for the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path) -> Callable[..., str]:
    """Returns a function that writes a study file and returns its path."""

    def written(text: str, name: str = "mine.yaml") -> str:
        file: Path = tmp_path / name
        file.write_text(text)
        return str(file)

    return written
