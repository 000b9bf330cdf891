"""Makes the scripts of docs/results importable, which are not a package."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def scripts(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs/results"))
