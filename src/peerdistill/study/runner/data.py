"""Which data sets of a study are there."""

from collections.abc import Iterable, Mapping

from peerdistill.config.config import Config
from peerdistill.data.source import LoadRequest
from peerdistill.errors import UserError
from peerdistill.study.plan import Cell, Place


def missing_data(cells: Iterable[Cell], places: Mapping[str, Place], *, download: bool = False) -> dict[str, str]:
    """Return for every data set that is missing a sentence that says what to do.

    Built-in data sets are read once, because only this tells whether they are complete.

    Args:
        cells: Cells that are to be trained.
        places: Where the data are, by data set.
        download: Download built-in data sets that are missing.
    """
    first = {cell.dataset: cell for cell in reversed(list(cells))}
    found = {name: _problem(cell, places[name], download=download) for name, cell in first.items()}
    return {name: sentence for name, sentence in found.items() if sentence}


def _problem(cell: Cell, place: Place, *, download: bool) -> str:
    name = cell.dataset
    if place.data is None:
        return f"{name} comes without a default: pass --data {name}=DATA"
    try:
        _check(cell.config(place), download=download)
    except UserError as error:
        return f"{error}, or pass --data {name}=DATA"
    return ""


def _check(config: Config, *, download: bool) -> None:
    sources = config.data.sources
    sources.check(config.data)
    source = sources.find(config.data.data)
    if source.takes == "name":
        source.load(LoadRequest(config.data, download=download))
