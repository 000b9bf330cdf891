"""A study of two methods and the plain network on digits, and records of it without training."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from peerdistill.study.plan import Cell, Study, load_study
from peerdistill.study.record import CellRecord, Record

METHODS = {"Peers": {"method": "dml", "sharing": "network", "peers": 2}, "MCL|OKD": {"method": "mcl-okd", "peers": 3}}
FILE = {
    "title": "Two <i>methods</i>",
    "seeds": 3,
    "datasets": {"digits": {"data": "digits", "recipe": "digits"}},
    "options": {"epochs": 10, "validation": 0},
    "axes": {"network": {"ResNet-8": {"backbone": "resnet8"}}, "method": METHODS},
    "equal_compute": True,
    "scales": {"small": {"digits": {"epochs": 10}}},
}


@pytest.fixture(scope="session")
def study_of(tmp_path_factory) -> Callable[..., Study]:
    """Return a function that loads the study with other keys of its file."""

    def load(scale: str = "full", **keys) -> Study:
        file = tmp_path_factory.mktemp("study") / "two.yaml"
        file.write_text(yaml.safe_dump({**FILE, **keys}, sort_keys=False))
        return load_study(str(file), scale=scale)

    return load


@pytest.fixture(scope="session")
def study(study_of) -> Study:
    return study_of()


def recorded(cell: Cell, error: float, **values) -> CellRecord:
    """A finished cell."""
    figures = {"leader": error, "mean peer": error + 1, "ensemble": error - 1 if cell.peers > 1 else None}
    about = {"status": "finished", "epochs": cell.epochs, "last": {"error": figures}, **values}
    return CellRecord(cell.name, dict(cell.labels), cell.kind, cell.role, cell.seed, **about)


@pytest.fixture(scope="session")
def record_of() -> Callable[..., Record]:
    """Return a function that makes the record of a study from errors by method: one for each seed.

    ``seconds`` and ``adds`` are the costs of a method; "plain" is the plain network.
    """

    def make(
        study: Study,
        errors: Mapping[str, list[float]],
        seconds: Mapping[str, float] | None = None,
        adds: Mapping[str, int] | None = None,
        folder: Path | None = None,
    ) -> Record:
        cells = []
        for cell in study.cells:
            method = cell.labels.get("method", "plain")
            if cell.seed < len(errors.get(method, [])):
                took = (seconds or {}).get(method)
                costs = {"cpu_seconds": took and float(took), "multiply_adds": (adds or {}).get(method)}
                cells.append(recorded(cell, errors[method][cell.seed], **costs))
        return Record(study.title, study.scale.name, dict(study.scale.statements), tuple(cells), folder=folder)

    return make
