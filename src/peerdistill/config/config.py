"""The whole configuration of a run, readable without importing PyTorch."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import yaml

from peerdistill import backbones, methods
from peerdistill.data.config import NO_CACHE, USERS_CACHE, DataConfig
from peerdistill.data.words import absolute_word
from peerdistill.errors import UserError, unknown_name
from peerdistill.fewshot.config import EpisodeConfig, FewShotData
from peerdistill.paths import absolute_path
from peerdistill.ranges import Range, Temperature, Weight, check_ranges, check_values
from peerdistill.sharing import SHARINGS, BranchAt, check_peer_backbones
from peerdistill.training.config import TrainingConfig

CONFIG_FILE = "config.yaml"
"""Name of the configuration in a run's folder."""

SAYS_FEW_SHOT = "ways"
"""The option whose presence tells the configuration of a few-shot run."""

# What episodes decide of the training: no options of a few-shot run.
IMPLIED_BY_EPISODES = frozenset({"epochs", "batch_size"})


@runtime_checkable
class OptionGroup(Protocol):
    """Options that stand together, such as ``ContrastOptions``: a dataclass that knows its ranges."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        ...


@dataclass(frozen=True)
class Config:
    """What decides the numbers of a run, under the names of the command line's options.

    Attributes:
        data: The images.
        cohort: The peers.
        training: The training.
        teacher: The teacher, if any.
        method: Name of the method.
        options: The method's own keyword options.
        episodes: The episodes of a few-shot run; they decide the training's epochs and batch size.
    """

    data: DataConfig | FewShotData
    cohort: CohortConfig
    training: TrainingConfig
    teacher: TeacherConfig
    method: str
    options: Mapping[str, Any]
    episodes: EpisodeConfig | None = None

    def check(self) -> None:
        """Raise UserError for the first value that can't be right, before anything slow is started."""
        episodes = [] if self.episodes is None else [self.episodes]
        for part in (self.data, *episodes, self.cohort, self.training, self.teacher):
            part.check()
        if methods.find(self.method).needs_teacher and self.teacher.teacher is None:
            raise UserError(f"{self.method} needs a teacher: --teacher RUN_OR_FILE")
        self._check_teacher_is_used()
        check_values(self.options, methods.ranges_of_options(self.method))
        for value in self.options.values():
            if isinstance(value, OptionGroup):
                value.check()

    def _check_teacher_is_used(self) -> None:
        """Raise UserError for options of the further term that a method with a teacher of its own does not have."""
        if not methods.find(self.method).needs_teacher:
            return
        own = ", ".join(option.name for option in methods.options_of(self.method))
        for field in ("teacher_weight", "teacher_temperature"):
            if getattr(self.teacher, field) != getattr(TeacherConfig(), field):
                raise UserError(
                    f"{field} goes with methods that do without a teacher, found {getattr(self.teacher, field)}: "
                    f"{self.method} has {own}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return one flat mapping, nested only where the options are."""
        flat = {**asdict(self.data), **asdict(self.cohort), "method": self.method, **asdict(self.training)}
        flat |= asdict(self.teacher)
        if self.episodes is not None:
            flat = {name: value for name, value in flat.items() if name not in IMPLIED_BY_EPISODES}
            flat |= asdict(self.episodes)
        return {**flat, **{name: _plain(value) for name, value in self.options.items()}}

    def as_yaml(self) -> str:
        """Return :meth:`as_dict` as the text of a configuration file."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def default_run(self) -> str:
        """Folder for a run whose user named none: ``runs/DATA-METHOD-BACKBONE``."""
        source = Path(self.data.data.split(",")[0].removeprefix("npz:")).stem
        method, backbone = (name.replace(":", "-") for name in (self.method, self.cohort.backbone))
        return str(Path("runs") / f"{source}-{method}-{backbone}")

    def moved(self, places: Mapping[str, str]) -> "Config":
        """Return the same configuration with its data elsewhere.

        Args:
            places: What replaces ``data``, ``test`` or ``root``.

        Raises:
            UserError: For an option that this kind of data does not have.
        """
        known = {field.name for field in fields(self.data)}
        for name in sorted(places.keys() - known):
            raise UserError(f"{name} does not go with {self.data.data}")
        return replace(self, data=replace(self.data, **with_absolute_paths(dict(places), self.data.names)))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Config":
        """Return the configuration of flat values, the nested groups already objects.

        Paths become absolute, and backbones say where they were found.
        """

        def pick(part: type, leave_out: Set[str] = frozenset()) -> dict[str, Any]:
            names.update(field.name for field in fields(part))
            return {field.name: values[field.name] for field in fields(part) if field.name not in leave_out}

        names = {"method"}  # of all options but the method's own
        episodes = EpisodeConfig(**pick(EpisodeConfig)) if SAYS_FEW_SHOT in values else None
        if episodes is None:
            data: DataConfig | FewShotData = DataConfig(**with_absolute_paths(pick(DataConfig), DataConfig.names))
            training = pick(TrainingConfig)
        else:
            data = FewShotData(**with_absolute_paths(pick(FewShotData), FewShotData.names))
            implied = {"epochs": episodes.epochs, "batch_size": episodes.shape.images}
            training = {**pick(TrainingConfig, leave_out=IMPLIED_BY_EPISODES), **implied}
        cohort, taught = pick(CohortConfig), pick(TeacherConfig)
        for part, name in ((taught, "teacher"), (cohort, "weights")):
            if part[name] is not None:
                part[name] = str(absolute_path(part[name], name))
        cohort["backbone"] = backbones.resolve(cohort["backbone"])
        if cohort["peer_backbones"]:
            cohort["peer_backbones"] = [backbones.resolve(name) for name in cohort["peer_backbones"]]
        return cls(
            data=data,
            cohort=CohortConfig(**cohort),
            training=TrainingConfig(**training),
            teacher=TeacherConfig(**taught),
            method=values["method"],
            options={name: value for name, value in values.items() if name not in names},
            episodes=episodes,
        )


def with_absolute_paths(data: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the options of the data with paths that hold in any folder; ``names`` are those of built-in data."""
    words = {name: absolute_word(data[name], names) for name in ("data", "test") if data.get(name) is not None}
    folders = {name: data[name] for name in ("root", "cache") if data.get(name) not in (None, USERS_CACHE, NO_CACHE)}
    return {**data, **words, **{name: str(absolute_path(word, name)) for name, word in folders.items()}}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
