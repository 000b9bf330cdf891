"""The whole configuration of a run. Reading one does not import PyTorch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml

from peerdistill import backbones, methods
from peerdistill.config.kinds import IMPLIED_BY_EPISODES, KINDS, NO_RECIPE, Kind, KindName
from peerdistill.config.options import CohortConfig, LossConfig, TeacherConfig
from peerdistill.config.recipes import recipe
from peerdistill.config.typed import build_group, checked, flattened, is_group, option_types, typed
from peerdistill.data.config import NO_CACHE, NO_LABELS, USERS_CACHE, DataConfig
from peerdistill.data.data_spec import SourceCatalog
from peerdistill.errors import UserError, unknown_name
from peerdistill.fewshot.config import EpisodeConfig, FewShotData
from peerdistill.paths import absolute_path
from peerdistill.ranges import check_values
from peerdistill.training.config import TrainingConfig

CONFIG_FILE = "config.yaml"
"""Name of the configuration in a run's folder."""

IMAGES_FILE, TEST_IMAGES_FILE = "images.npz", "test_images.npz"
"""Names of the images in the folder of a run to which images were given in Python."""

DEFAULT_METHOD = "mcl-okd"
DEFAULT_KIND: KindName = "classes"

_NOT_OPTIONS = ("kind", "recipe")  # names in a configuration that are not options


@runtime_checkable
class OptionGroup(Protocol):
    """A dataclass of options of a method that checks its values, such as ``ContrastOptions``."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        ...


@dataclass(frozen=True)
class Config:
    """Everything that determines the results of a run. Options have the same names here and on the command line.

    Attributes:
        kind: What is learned: "classes" from labelled images, or a few-shot encoder from "episodes".
        data: The images.
        cohort: The peers.
        training: The training.
        teacher: The teacher, if any.
        method: Name of the method.
        options: Keyword options of the method.
        loss: The cross-entropy; None for "episodes".
        episodes: The episodes of a few-shot run, which determine its epochs and batch size; None for "classes".
        implied: Dotted names of the options that nobody chose: they have the value of a recipe or their default. It is
            not part of a configuration file, whose options are all chosen.

    Example:
        >>> config = Config.from_dict({"data": "digits", "method": "dml", "peers": 2})
        >>> config.training.epochs  # from the recipe "digits"
        20
        >>> Config.from_dict(config.as_dict()) == config
        True
    """

    kind: KindName
    data: DataConfig | FewShotData
    cohort: CohortConfig
    training: TrainingConfig
    teacher: TeacherConfig
    method: str
    options: Mapping[str, Any]
    loss: LossConfig | None = None
    episodes: EpisodeConfig | None = None
    implied: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def check(self) -> None:
        """Raise UserError for the first invalid value, before anything slow starts."""
        for part in (self.data, self.episodes, self.cohort, self.training, self.loss, self.teacher):
            if part is not None:
                part.check()
        if methods.find(self.method).needs_teacher and self.teacher.teacher is None:
            raise UserError(f"{self.method} needs a teacher: --teacher RUN_OR_FILE")
        self._check_teacher_is_used()
        check_values(self.options, methods.ranges_of_options(self.method))
        for value in self.options.values():
            if isinstance(value, OptionGroup):
                value.check()

    def _check_teacher_is_used(self) -> None:
        """Raise UserError for options of the additional teacher term, which methods that need a teacher do not have."""
        if not methods.find(self.method).needs_teacher:
            return
        own = ", ".join(option.name for option in methods.options_of(self.method))
        for name in ("teacher_weight", "teacher_temperature"):
            if getattr(self.teacher, name) != getattr(TeacherConfig(), name):
                raise UserError(
                    f"{name} applies to methods that do not need a teacher, found {getattr(self.teacher, name)}: "
                    f"{self.method} has the options {own}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return one mapping of all options; groups of options are nested."""
        flat = {"kind": self.kind, **asdict(self.data), **asdict(self.cohort), "method": self.method}
        flat |= asdict(self.training)
        flat |= {} if self.loss is None else asdict(self.loss)
        flat |= asdict(self.teacher)
        if self.episodes is not None:
            flat = {name: value for name, value in flat.items() if name not in IMPLIED_BY_EPISODES}
            flat |= asdict(self.episodes)
        return {**flat, **{name: _plain(value) for name, value in self.options.items()}}

    def as_yaml(self) -> str:
        """Return :meth:`as_dict` as the text of a configuration file, to which a recipe adds nothing."""
        return yaml.safe_dump({"recipe": NO_RECIPE, **self.as_dict()}, sort_keys=False, allow_unicode=True)

    @property
    def length(self) -> str:
        """Name of the option that says how long the run is: "epochs", or "episodes" of a few-shot run."""
        return "epochs" if self.episodes is None else "episodes"

    def with_epochs(self, epochs: int) -> "Config":
        """Return the same configuration with another number of epochs, and with the episodes of so many."""
        episodes = self.episodes
        if episodes is not None:
            episodes = replace(episodes, episodes=epochs * episodes.episodes_per_epoch)
        return replace(self, training=replace(self.training, epochs=epochs), episodes=episodes)

    @property
    def default_run(self) -> str:
        """Default folder of the run: ``runs/DATA-METHOD-BACKBONE``."""
        source = self.data.sources.title(self.data.data)
        method = self.method.replace(":", "-")
        return str(Path("runs") / f"{source}-{method}-{backbones.title(self.cohort.backbone)}")

    def moved(self, places: Mapping[str, str]) -> "Config":
        """Return the same configuration with other places of its data.

        Args:
            places: New values of ``data``, ``test``, ``labels`` or ``root``. A table of labels in the data folder moves
                with it; a new folder without this table has class folders.

        Raises:
            UserError: This kind of data does not have the option.
        """
        known = {field.name for field in fields(self.data)}
        for name in sorted(places.keys() - known):
            raise UserError(f"{name} does not apply to {self.data.data}")
        found = with_absolute_paths(dict(places), self.data.sources)
        if isinstance(self.data, DataConfig) and "data" in found and "labels" not in found:
            found["labels"] = _moved_labels(self.data, Path(found["data"]))
        return replace(self, data=replace(self.data, **found))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "", implied: Collection[str] = ()) -> "Config":
        """Return the configuration of a mapping, complete as :meth:`as_dict` returns it or partial.

        Options that are missing have the values of the recipe, or else their defaults. ``recipe`` names the recipe, or
        ``data`` and pretrained weights imply it. Relative paths become absolute, and backbones get their full names.

        Args:
            values: Options, nested or with dotted names. ``kind`` is "classes" by default. The options of a ``method``
                that cannot be imported here are kept as they are: the leader of such a run can still be exported.
            where: What errors say about the source of the values, such as " in mine.yaml".
            implied: Dotted names of the options in ``values`` that nobody chose.

        Raises:
            UserError: For an unknown kind, recipe or option, a value of the wrong type, or missing ``data``.
        """
        kind = kind_of(values, where)
        method = typed(values.get("method", DEFAULT_METHOD), str, f"method{where}")
        options = options_of(kind, method)
        given = {name: value for name, value in values.items() if name not in _NOT_OPTIONS}
        if methods.is_known(method):
            own: dict[str, Any] = {}
        else:
            groups = {name.partition(".")[0] for name in options}
            own = {name: value for name, value in given.items() if name.partition(".")[0] not in groups}
        flat = flattened({name: value for name, value in given.items() if name not in own}, options, where)
        flat = checked(flat, options, where)
        if flat.get("data") is None:
            raise UserError(f"data is missing{where}: it is {kind.data}")
        chosen = values.get("recipe")
        name = None if chosen is None else typed(chosen, str, f"recipe{where}")
        has_weights = bool(flat.get("pretrained") or flat.get("weights"))
        defaults = defaults_of(kind, method, kind.recipes_for(flat["data"], name, has_weights=has_weights))
        found = cls._of(kind, method, {**defaults, **flat}, own)
        return replace(found, implied=frozenset({"method", *defaults} - flat.keys()).union(implied))

    @classmethod
    def _of(cls, kind: Kind, method: str, values: Mapping[str, Any], own: Mapping[str, Any]) -> "Config":
        """Return the configuration of complete options by dotted name, and further options of an unknown method."""
        groups = {group: _fields_of(group, values) for group in kind.options}
        data_group = kind.data_options
        groups[data_group] |= with_absolute_paths(groups[data_group], data_group.sources)
        episodes = build_group(EpisodeConfig, groups[EpisodeConfig]) if EpisodeConfig in groups else None
        if episodes is not None:
            groups[TrainingConfig] |= {"epochs": episodes.epochs, "batch_size": episodes.shape.images}
        cohort, teacher = groups[CohortConfig], groups[TeacherConfig]
        for part, name in ((teacher, "teacher"), (cohort, "weights")):
            if part[name] is not None:
                part[name] = str(absolute_path(part[name], name))
        cohort["backbone"] = backbones.resolve(cohort["backbone"])
        if cohort["peer_backbones"]:
            cohort["peer_backbones"] = [backbones.resolve(name) for name in cohort["peer_backbones"]]
        data = build_group(data_group, groups[data_group])
        if not (cohort["pretrained"] or cohort["weights"]):
            data = data.resolved()
        return cls(
            kind=kind.name,
            data=data,
            cohort=build_group(CohortConfig, cohort),
            training=build_group(TrainingConfig, groups[TrainingConfig]),
            loss=build_group(LossConfig, groups[LossConfig]).resolved() if LossConfig in groups else None,
            teacher=build_group(TeacherConfig, teacher),
            method=method,
            options={**_method_options(method, values), **own},
            episodes=episodes,
        )


def kind_of(values: Mapping[str, Any], where: str = "") -> Kind:
    """Return the kind of run that a configuration names.

    Raises:
        UserError: For an unknown kind.
    """
    name = values.get("kind", DEFAULT_KIND)
    if not isinstance(name, str) or name not in KINDS:
        raise unknown_name(f"kind of run{where}", str(name), KINDS)
    return KINDS[name]


def options_of(kind: Kind, method: str) -> dict[str, Any]:
    """Return the type of every option of a kind of run by dotted name; of an unknown method all but its own."""
    found: dict[str, Any] = {"data": str | None, "method": str}
    for group, not_options in kind.options.items():
        found |= {name: one for name, one in option_types(group).items() if name not in not_options}
    if methods.is_known(method):
        for option in methods.options_of(method):
            group = option.annotation
            found |= option_types(group, f"{option.name}.") if is_group(group) else {option.name: group}
    return found


def defaults_of(kind: Kind, method: str, recipes: Sequence[str]) -> dict[str, Any]:
    """Return the value of every option that has a default by dotted name: of its signature, method or recipes.

    Raises:
        UserError: For an unknown recipe.
    """
    options = options_of(kind, method)
    found: dict[str, Any] = {}
    for group, not_options in kind.options.items():
        defaults = asdict(group(data="")) if group is kind.data_options else asdict(group())
        values = flattened(defaults, option_types(group))
        found |= {name: value for name, value in values.items() if name not in not_options}
    if methods.is_known(method):
        card = methods.find(method)
        found |= {"sharing": card.sharings[0], **card.cohort}
        own = {option.name: option.default for option in methods.options_of(method)}
        found |= flattened(own, options)
    for recipe_name in recipes:
        of_recipe = {name: value for name, value in recipe(recipe_name, method, kind).items() if name in options}
        found |= checked(of_recipe, options, f" in the recipe {recipe_name}")
    return found


def _fields_of(group: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a group among all, by dotted name."""
    names = option_types(group)
    return {name: value for name, value in values.items() if name in names}


def _method_options(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword options of a method; groups are dataclasses again."""
    if not methods.is_known(method):
        return {}
    found = {}
    for option in methods.options_of(method):
        if is_group(option.annotation):
            prefix = f"{option.name}."
            own = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
            found[option.name] = build_group(option.annotation, own)
        else:
            found[option.name] = values[option.name]
    return found


def with_absolute_paths(data: dict[str, Any], sources: SourceCatalog) -> dict[str, Any]:
    """Return the data options with absolute paths; ``sources`` are what ``data`` can name."""
    words: dict[str, Any] = {
        name: sources.absolute(data[name]) for name in ("data", "test") if data.get(name) is not None
    }
    if data.get("labels") == NO_LABELS:
        words["labels"] = None
    names = {name: data.get(name) for name in ("labels", "root", "cache")}
    paths = {name: word for name, word in names.items() if word not in (None, USERS_CACHE, NO_CACHE, NO_LABELS)}
    return {**data, **words, **{name: str(absolute_path(word, name)) for name, word in paths.items()}}


def _moved_labels(before: DataConfig, folder: Path) -> str | None:
    """Return the table of labels of data that are in ``folder`` now."""
    if before.labels is None or not Path(before.labels).is_relative_to(before.data):
        return before.labels
    table = folder / Path(before.labels).relative_to(before.data)
    return str(table) if table.is_file() else None


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
