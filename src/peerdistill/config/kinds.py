"""The commands that train: what DATA may be, which options there are and where their recipes lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from peerdistill.config.config import IMPLIED_BY_EPISODES, CohortConfig, TeacherConfig
from peerdistill.data.config import DataConfig
from peerdistill.fewshot.config import FEW_SHOT_NAMES, EpisodeConfig, FewShotData
from peerdistill.training.config import TrainingConfig

_YAML = ".yaml"


@dataclass(frozen=True)
class TrainingCommand:
    """What differs between the commands that train.

    Attributes:
        does: What it does, in a sentence.
        data: What DATA may be.
        options: Groups of options, each with those of its fields that are none.
        recipes: The package that holds its recipes.
        recipe_for: The recipe that suits a data word.
    """

    does: str
    data: str
    options: Mapping[type, frozenset[str]]
    recipes: str
    recipe_for: Callable[[str | None], str]

    def recipe_files(self) -> dict[str, Traversable]:
        """Return its recipes by name."""
        found = [file for file in resources.files(self.recipes).iterdir() if file.name.endswith(_YAML)]
        return {file.name.removesuffix(_YAML): file for file in sorted(found, key=lambda file: file.name)}


def _recipe_for_classes(data: str | None) -> str:
    if data == "digits":
        return "digits"
    if data in ("cifar10", "cifar100"):
        return "cifar"
    return "arrays" if str(data).startswith("npz:") else "folder"


def _recipe_for_episodes(data: str | None) -> str:
    return str(data) if data in FEW_SHOT_NAMES else "folder"


_NO_OPTIONS: frozenset[str] = frozenset()
COMMANDS = {
    "train": TrainingCommand(
        does="Train peers on",
        data="digits, cifar10, cifar100, npz:FILE,FILE,... or a folder of class folders",
        options={
            DataConfig: frozenset({"data"}),
            CohortConfig: _NO_OPTIONS,
            TrainingConfig: _NO_OPTIONS,
            TeacherConfig: _NO_OPTIONS,
        },
        recipes="peerdistill.config.recipes",
        recipe_for=_recipe_for_classes,
    ),
    "fewshot": TrainingCommand(
        does="Train prototypical peers on episodes of",
        data="omniglot, miniimagenet, cifar-fs, npz:FILE,FILE,... or a folder of class folders",
        options={
            FewShotData: frozenset({"data"}),
            EpisodeConfig: _NO_OPTIONS,
            CohortConfig: _NO_OPTIONS,
            TrainingConfig: IMPLIED_BY_EPISODES,
            TeacherConfig: _NO_OPTIONS,
        },
        recipes="peerdistill.config.recipes.fewshot",
        recipe_for=_recipe_for_episodes,
    ),
}
