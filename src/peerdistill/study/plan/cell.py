"""A cell of a study: one run, with one seed."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from peerdistill import backbones
from peerdistill.config.config import Config
from peerdistill.config.kinds import KINDS, KindName
from peerdistill.errors import UserError
from peerdistill.study.plan.digest import digest

Role = Literal["method", "teacher", "plain", "equal time", "equal multiply-adds"]
"""Why a run is part of a study: it is compared, it teaches, or it is the plain network, perhaps trained longer."""


@dataclass(frozen=True)
class Place:
    """Where the images of a data set are; the options of ``train`` and ``fewshot`` of the same names.

    Attributes:
        data: DATA. None: it is not known.
        test: The test images, for DATA without them.
        labels: A table of labels.
        root: Folder of downloaded data sets.
    """

    data: str | None = None
    test: str | None = None
    labels: str | None = None
    root: str | None = None

    def as_options(self) -> dict[str, str]:
        """Return the options that are given."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Cell:
    """One run of a study: a configuration and a seed.

    Attributes:
        labels: Label on each axis; there is always one for "dataset".
        kind: Kind of run.
        options: Every option that the study sets, by dotted name, without the places of data, the seed and the teacher.
        seed: Seed of the run.
        teacher: The cell whose leader teaches this one.
        role: Why it is part of the study.
        place: Where the study expects the data.

    Example:
        >>> cell = Cell({"dataset": "digits"}, "classes", {"method": "dml", "epochs": 2}, seed=3, place=Place("digits"))
        >>> cell.name
        'digits-resnet20-dml-network-4-1cb40926-s3'
        >>> cell.words()
        ['digits', '--method=dml', '--epochs=2', '--seed=3']
    """

    labels: Mapping[str, str] = field(hash=False)
    kind: KindName
    options: Mapping[str, Any] = field(hash=False)
    seed: int
    teacher: "Cell | None" = None
    role: Role = "method"
    place: Place = Place()

    @property
    def dataset(self) -> str:
        """Label of its data set."""
        return self.labels["dataset"]

    @cached_property
    def name(self) -> str:
        """Name of its run folder: data set, network, method, sharing, digest of the configuration, and seed.

        Equal configurations have equal names in every study, so studies share runs.
        """
        cohort, method = self.resolved.cohort, self.resolved.method
        sharing = cohort.sharing if isinstance(cohort.sharing, str) else "-".join(map(str, cohort.sharing))
        peers = "single" if cohort.peers == 1 else f"{sharing}-{cohort.peers}"
        parts = (self.dataset, backbones.title(cohort.backbone), method, peers)
        return f"{'-'.join(map(slug, parts))}-{self.digest}-s{self.seed}"

    @cached_property
    def digest(self) -> str:
        """The digest of its configuration, see :func:`digest`."""
        return _digest(self._text)

    @property
    def epochs(self) -> int:
        """Epochs of training; for episodes, the number of validations."""
        return self.resolved.training.epochs

    @property
    def peers(self) -> int:
        """Number of peers."""
        return self.resolved.cohort.peers

    def config(self, place: Place | None = None, teacher: Path | str | None = None) -> Config:
        """Return the configuration of its run.

        Args:
            place: Where the data are, if not where the study expects them.
            teacher: Run folder of its teacher (default: the folder in the working directory with the teacher's name).

        Raises:
            UserError: It is not known where the data are, or an option is invalid.
        """
        place = self.place if place is None else place
        if place.data is None:
            raise UserError(f"{self.dataset} has no default place: say where it is with --data {self.dataset}=DATA")
        return Config.from_dict({"kind": self.kind, **place.as_options(), **self._all_options(teacher)})

    def words(self, place: Place | None = None, teacher: Path | str | None = None) -> list[str]:
        """Return the words after ``peerdistill train`` or ``fewshot``. Arguments are those of :meth:`config`."""
        self.config(place, teacher)
        options = (self.place if place is None else place).as_options() | self._all_options(teacher)
        data = options.pop("data")
        return [data, *(f"--{name}={_word(value)}" for name, value in options.items())]

    @property
    def command(self) -> str:
        """The command that trains it: "train" or "fewshot"."""
        return KINDS[self.kind].command

    def changed(self, role: Role, options: Mapping[str, Any]) -> "Cell":
        """Return the same cell with another role and other values of options, by dotted name."""
        return replace(self, role=role, options={**self.options, **options})

    def longer(self, factor: float, role: Role) -> "Cell":
        """Return the same cell with a longer training, rounded up to two significant digits.

        Epochs are multiplied, or episodes. The steps between decays of a step schedule are multiplied with them.

        Args:
            factor: How many times as long.
            role: Role of the new cell.
        """
        config = self.resolved
        if config.episodes is None:
            name, before, unit = "epochs", config.training.epochs, 1
        else:
            name, before, unit = "episodes", config.episodes.episodes, config.episodes.episodes_per_epoch
        after = -(-_two_digits(before * factor) // unit) * unit
        schedule = config.training.schedule
        steps = {"schedule.every": round(schedule.every * after / before)} if schedule.name == "step" else {}
        return self.changed(role, {name: after, **steps})

    def _all_options(self, teacher: Path | str | None) -> dict[str, Any]:
        source = self.teacher.name if teacher is None and self.teacher is not None else teacher
        taught = {} if source is None else {"teacher": str(source)}
        return {**self.options, "seed": self.seed, **taught}

    @property
    def resolved(self) -> Config:
        """Its configuration with seed 0 and the default place of the data, for images without one a folder."""
        return _resolved(self._text)

    @cached_property
    def _text(self) -> str:
        """All options but the seed as text: cells that differ in their seeds share what is computed from it."""
        place = Place(f"./{slug(self.dataset)}") if self.place.data is None else self.place
        return json.dumps({"kind": self.kind, **place.as_options(), **self._all_options(None), "seed": 0})


def slug(text: str) -> str:
    """Return a text as a part of a file name: lower case, with a dash for everything but letters, digits and dots."""
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-.") or "unnamed"


@lru_cache(maxsize=10_000)
def _resolved(options: str) -> Config:
    return Config.from_dict(json.loads(options))


@lru_cache(maxsize=10_000)
def _digest(options: str) -> str:
    return digest(_resolved(options))


def _two_digits(value: float) -> int:
    """Return a positive number rounded up to two significant digits, and to an integer."""
    unit = 10 ** max(0, math.floor(math.log10(value)) - 1)
    # The quotient is rounded first: 1.1 * 100 is a little more than 110.
    return math.ceil(round(value / unit, 6)) * unit


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
