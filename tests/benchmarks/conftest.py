from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a file of the folder, in which they find each other as they do when they are run."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return import_module
