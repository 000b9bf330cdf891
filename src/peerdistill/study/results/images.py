"""Whether the runs of a study were trained and tested on the same images."""

import json
from collections.abc import Iterable
from dataclasses import fields

from peerdistill.config.kinds import KINDS
from peerdistill.errors import some_of
from peerdistill.runs.identity import MAY_CHANGE
from peerdistill.runs.run import PLACES
from peerdistill.study.record import CellRecord

_ON_THIS_MACHINE = MAY_CHANGE | {*PLACES}
_NAMED = 1
_WORDS = {"train": "training images", "val": "validation images", "test": "test images"}


def comparable(first: CellRecord, second: CellRecord) -> bool:
    """Return whether two results come from the same images, as far as it was recorded.

    Images of both trainings count only if their options of the data are the same.
    """
    splits = ("evaluated", "train") if _options(first) == _options(second) else ("evaluated",)
    images = [{**cell.images, "evaluated": cell.images.get("test", cell.images.get("val"))} for cell in (first, second)]
    return all(len({of_run.get(split) for of_run in images} - {None}) < 2 for split in splits)


def different_images(cells: Iterable[CellRecord]) -> dict[str, str]:
    """Return a sentence for every data set whose runs had different images with the same options of the data.

    Args:
        cells: Finished cells of a study. Runs of earlier versions do not say which images they had, and do not count.
    """
    runs: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for cell in cells:
        for split, images in cell.images.items():
            same = runs.setdefault((cell.labels["dataset"], split, _options(cell)), {})
            same.setdefault(images, set()).add(cell.name)
    found: dict[str, str] = {}
    for (dataset, split, _), by_images in runs.items():
        if len(by_images) > 1:
            fewest_first = sorted((len(names), sorted(names)) for names in by_images.values())
            kinds = [some_of(names, _NAMED) for _, names in fewest_first]
            found[dataset] = (
                f"{dataset}: not all runs had the same {_WORDS[split]}: those of {kinds[0]} are not those of "
                f"{'; '.join(kinds[1:])}. Do not compare their figures, which no verdict does, but train one kind of "
                "them again"
            )
    return found


def _options(cell: CellRecord) -> str:
    """Return the options of the data of a run, without those that only say where the images are."""
    names = {field.name for field in fields(KINDS[cell.kind].data_options)} - _ON_THIS_MACHINE
    return json.dumps({name: value for name, value in cell.options.items() if name in names}, sort_keys=True)
