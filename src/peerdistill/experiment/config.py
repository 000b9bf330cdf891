"""The whole configuration of a run, readable without importing PyTorch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import yaml

from peerdistill import backbones, methods
from peerdistill.data.config import DataConfig
from peerdistill.errors import UserError, unknown_name
from peerdistill.training.config import TrainingConfig

_SHARINGS = ("network", "branch", "tree")
CONFIG_FILE = "config.yaml"
"""Name of the configuration in a run's folder."""


@runtime_checkable
class OptionGroup(Protocol):
    """Options that stand together, such as ``ContrastOptions``: a dataclass that knows its ranges."""

    def check(self) -> None:
        """Raise UserError for a value outside its range."""
        ...


@dataclass(frozen=True)
class CohortConfig:
    """Peers."""

    backbone: str = "resnet32"
    """Network of every peer."""
    sharing: str | list[int] = "branch"
    """network (nothing shared), branch (first stages shared), tree (1-2-4) or the copies of each stage: [1,2,4,4]."""
    share_until: str | None = None
    """For branch: the last shared stage (default: the backbone's own choice)."""
    peers: int = 4
    """Number of peers; the last one is the leader."""
    split_gradients: Literal["sum", "mean"] = "sum"
    """What a shared stage learns from the stages above it: the sum or the mean of their gradients."""

    def check(self) -> None:
        """Raise UserError for what is wrong whatever the backbone's stages are."""
        if self.backbone not in backbones.names():
            raise unknown_name("backbone", self.backbone, backbones.names())
        if self.peers < 1:
            raise UserError(f"peers must be at least 1, found {self.peers}")
        if isinstance(self.sharing, str) and self.sharing not in _SHARINGS:
            raise unknown_name("sharing", self.sharing, _SHARINGS)


@dataclass(frozen=True)
class Config:
    """What decides the numbers of a run, under the names of the command line's options.

    Attributes:
        data: The images.
        cohort: The peers.
        training: The training.
        method: Name of the method.
        options: The method's own keyword options.
    """

    data: DataConfig
    cohort: CohortConfig
    training: TrainingConfig
    method: str
    options: Mapping[str, Any]

    def check(self) -> None:
        """Raise UserError for the first value that can't be right, before anything slow is started."""
        for part in (self.data, self.cohort, self.training):
            part.check()
        methods.find(self.method)
        for value in self.options.values():
            if isinstance(value, OptionGroup):
                value.check()

    def as_dict(self) -> dict[str, Any]:
        """Return one flat mapping, nested only where the options are."""
        flat = {**asdict(self.data), **asdict(self.cohort), "method": self.method, **asdict(self.training)}
        return {**flat, **{name: _plain(value) for name, value in self.options.items()}}

    def as_yaml(self) -> str:
        """Return :meth:`as_dict` as the text of a configuration file."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def default_run(self) -> str:
        """Folder for a run whose user named none: ``runs/DATA-METHOD-BACKBONE``."""
        source = Path(self.data.data.split(",")[0].removeprefix("npz:")).stem
        return str(Path("runs") / f"{source}-{self.method}-{self.cohort.backbone}")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Config":
        """Return the configuration of flat values, the nested groups already objects; paths become absolute."""

        def pick(part: type) -> dict[str, Any]:
            return {field.name: values[field.name] for field in fields(part)}

        parts = (DataConfig, CohortConfig, TrainingConfig)
        own = {"method", *(field.name for part in parts for field in fields(part))}
        data = pick(DataConfig)
        data.update(data=_absolute(data["data"]), test=data["test"] and _absolute(data["test"]))
        return cls(
            data=DataConfig(**{**data, "root": str(Path(data["root"]).expanduser().absolute())}),
            cohort=CohortConfig(**pick(CohortConfig)),
            training=TrainingConfig(**pick(TrainingConfig)),
            method=values["method"],
            options={name: value for name, value in values.items() if name not in own},
        )


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _absolute(word: str) -> str:
    """Return the data word with its paths absolute, so that a run can be used from any folder."""
    kind, colon, names = word.rpartition("npz:")
    if colon and not kind:
        files = [name.strip() for name in names.split(",")]
        return colon + ",".join(str(Path(file).expanduser().absolute()) if file else "" for file in files)
    folder = Path(word).expanduser()
    return str(folder.absolute()) if folder.exists() else word
