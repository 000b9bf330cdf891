"""From the axes of a study to its cells."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from peerdistill import methods
from peerdistill.config.config import DEFAULT_METHOD, Config, options_of
from peerdistill.config.kinds import KINDS
from peerdistill.config.typed import flattened, typed
from peerdistill.errors import UserError
from peerdistill.ranges import check_values
from peerdistill.runs.run import PLACES
from peerdistill.study.plan.cell import Cell, Place, Role
from peerdistill.study.plan.digest import PREPROCESSING
from peerdistill.study.plan.plain import shared_options
from peerdistill.study.plan.scales import ScaleRules, statement
from peerdistill.study.plan.study_file import DATASET, Options, Part, StudyFile

_TEACHER, _SEED_OFFSET, _SIZE = "teacher", "seed_offset", "size"
_ELSEWHERE = {"seed": "seeds", "kind": "the key kind", **dict.fromkeys(PLACES, "datasets")}


@dataclass(frozen=True)
class DataSize:
    """Size of a whole data set, which statements of a scale name.

    Attributes:
        classes: Number of classes.
        per_class: Number of training images of each class.
    """

    classes: int | None = None
    per_class: int | None = None


@dataclass(frozen=True)
class _Draft:
    """A cell before the scale and without a seed; options by dotted name.

    Attributes:
        labels: Label on each axis.
        options: Its own options.
        teacher: Options of its teacher; None: it has none.
        place: Where the data are.
    """

    labels: Mapping[str, str]
    options: Options
    teacher: Options | None
    place: Place


class CellMaker:
    """Makes the cells of a study at a scale.

    Args:
        file: The study.
        rules: The scale.
        where: What errors say about the place of the study, such as " in mine.yaml".
    """

    def __init__(self, file: StudyFile, rules: ScaleRules, where: str):
        self._kind = KINDS[file.kind]
        self._rules = rules
        self._where = where
        self._changes: dict[str, dict[str, tuple[Config, Config]]] = {}
        self._sizes: dict[str, DataSize] = {}
        self.plain = self._flat(file.plain, _method_of([file.plain]))

    def cells(self, part: Part) -> Iterator[Cell]:
        """Yield the cells of a part that are compared, seed by seed.

        Raises:
            UserError: An option is unknown or has an invalid value.
        """
        axes = [list(labels.items()) for labels in part.axes.values()]
        drafts = [self._draft(part, combination) for combination in product(*axes)]
        for seed in part.seeds:
            yield from (self._cell(draft, seed) for draft in drafts)

    def statements(self) -> dict[str, str]:
        """Return what the scale changes in the cells so far, by data set."""
        found = {}
        for dataset, changes in self._changes.items():
            size = self._sizes[dataset]
            whole = {"subset.classes": size.classes, "subset.per_class": size.per_class}
            found[dataset] = statement(changes.values(), whole)
        return found

    def _draft(self, part: Part, combination: Iterable[tuple[str, Options]]) -> _Draft:
        chosen = list(combination)
        labels = dict(zip(part.axes, (label for label, _ in chosen), strict=True))
        dataset = labels[DATASET]
        of_data = dict(part.datasets[dataset])
        self._sizes[dataset] = typed(of_data.pop(_SIZE, {}), DataSize, f"{_SIZE} of {dataset}{self._where}")
        place = self._place(dataset, {name: of_data.pop(name, None) for name in PLACES})
        layers = [part.options, of_data, *(options for _, options in chosen)]
        method = _method_of(layers)
        options = {name: value for layer in layers for name, value in self._flat(layer, method).items()}
        teacher = options.pop(_TEACHER) if isinstance(options.get(_TEACHER), Mapping) else None
        draft = _Draft(labels, self._with_recipe(options, place), teacher, place)
        self._check(draft)
        return draft

    def _place(self, dataset: str, given: Mapping[str, Any]) -> Place:
        where = f" of {dataset}{self._where}"
        return Place(**{name: typed(value, str | None, f"{name}{where}") for name, value in given.items()})

    def _cell(self, draft: _Draft, seed: int, role: Role = "method") -> Cell:
        """Return a cell at this scale."""
        teacher = None if draft.teacher is None else self._teacher(draft, draft.teacher, seed)
        whole = Cell(draft.labels, self._kind.name, draft.options, seed, teacher, role, draft.place)
        changes = self._rules.changes(whole.dataset, whole.resolved)
        cell = whole.changed(role, changes)
        if role == "method":
            self._changes.setdefault(whole.dataset, {})[str(whole.labels)] = (whole.resolved, cell.resolved)
        return cell

    def _teacher(self, student: _Draft, given: Options, seed: int) -> Cell:
        """Return the teacher of a cell: a plain network of the same data, changed by the options of the teacher."""
        own = dict(given)
        offset = typed(own.pop(_SEED_OFFSET, 0), int, f"{_SEED_OFFSET} of a teacher{self._where}")
        method = _method_of([self.plain, own])
        options = shared_options(self._kind.name, student.options) | self.plain | self._flat(own, method)
        labels = {DATASET: student.labels[DATASET], "method": "Teacher"}
        draft = _Draft(labels, options, None, student.place)
        self._check(draft)
        return self._cell(draft, seed + offset, "teacher")

    def _flat(self, options: Mapping[str, Any], method: str) -> Options:
        """Return options by dotted name."""
        found = flattened(options, options_of(self._kind, method), self._where)
        for name in found:
            if name in _ELSEWHERE:
                raise UserError(f"{name} is among the options{self._where}: it belongs to {_ELSEWHERE[name]}")
        return found

    def _with_recipe(self, options: Options, place: Place) -> Options:
        """Return options with the recipe of the default data, so that the place of the data changes no option.

        With pretrained weights there are two recipes, of the data and for fine-tuning, which no option can name.
        """
        if "recipe" in options or options.get("pretrained") or options.get("weights"):
            return options
        return {"recipe": self._kind.recipes_for(place.data)[0], **options}

    def _check(self, draft: _Draft) -> None:
        """Raise UserError for an invalid option, before anything is trained."""
        values = {"kind": self._kind.name, "data": draft.place.data or "./images", **draft.options}
        config = Config.from_dict(values, self._where)
        try:
            for part in (config.episodes, config.cohort, config.training, config.loss):
                if part is not None:
                    part.check()
            check_values(config.options, methods.ranges_of_options(config.method))
        except UserError as error:
            raise UserError(f"{error}{self._where}") from error
        self._check_pretrained(config, draft.options)

    def _check_pretrained(self, config: Config, options: Options) -> None:
        if config.loss is None or not (config.cohort.pretrained or config.cohort.weights):
            return
        if "image_size" not in options:
            raise UserError(f"image_size is missing{self._where}: cells with pretrained weights are named by it")
        for name in PREPROCESSING:
            if name in options:
                raise UserError(f"{name} is set{self._where}: in a study, pretrained weights decide it")


def _method_of(layers: Iterable[Mapping[str, Any]]) -> str:
    """Return the method that the last of several sets of options names."""
    named = [layer["method"] for layer in layers if "method" in layer]
    return typed(named[-1], str, "method") if named else DEFAULT_METHOD
