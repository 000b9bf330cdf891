"""The kinds of run: what DATA may be, which options there are, and where the recipes lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

from peerdistill.config.options import CohortConfig, LossConfig, TeacherConfig
from peerdistill.data.config import DataConfig
from peerdistill.fewshot.config import EpisodeConfig, FewShotData
from peerdistill.training.config import TrainingConfig

FINETUNE = "finetune"
"""Name of the recipe for pretrained weights. It sets only what differs from the recipe of the data."""

NO_RECIPE = "none"
"""What a complete configuration names as its recipe: options that a later version adds have their defaults."""

KindName = Literal["classes", "episodes"]
_YAML = ".yaml"


@dataclass(frozen=True)
class Kind:
    """What differs between runs that learn classes and runs that learn from episodes.

    Attributes:
        name: Its name in a configuration.
        command: The command that trains such a run.
        does: What that command does, in a sentence.
        data_options: Group of the options of the data, one of ``options``. Its sources are what DATA can name.
        options: Groups of options, each with the fields that are not options of this kind.
        recipes: The package that holds its recipes.
    """

    name: KindName
    command: str
    does: str
    data_options: type[DataConfig] | type[FewShotData]
    options: Mapping[type, frozenset[str]]
    recipes: str

    @property
    def data(self) -> str:
        """What DATA can be."""
        return self.data_options.sources.forms

    @property
    def data_help(self) -> str:
        """What DATA can be, with a few words about each source."""
        return self.data_options.sources.help

    def recipes_for(self, data: str | None, chosen: str | None = None, *, has_weights: bool = False) -> tuple[str, ...]:
        """Return the names of the recipes of a run; later ones override earlier ones.

        The recipe for pretrained weights, if there is one, comes after that of the data.

        Args:
            data: DATA.
            chosen: The recipe that was asked for, or "none"; None: it depends on the data and the weights.
            has_weights: Whether the peers start from pretrained weights.

        Raises:
            UserError: Unknown data.
        """
        if chosen == NO_RECIPE:
            return ()
        if chosen not in (None, FINETUNE):
            return (chosen,)
        of_data = self.data_options.sources.recipe_for(data)
        finetunes = chosen == FINETUNE or (has_weights and FINETUNE in self.recipe_files())
        return (of_data, FINETUNE) if finetunes else (of_data,)

    def recipe_files(self) -> dict[str, Traversable]:
        """Return its recipes by name."""
        found = [file for file in resources.files(self.recipes).iterdir() if file.name.endswith(_YAML)]
        return {file.name.removesuffix(_YAML): file for file in sorted(found, key=lambda file: file.name)}


_ALL_FIELDS: frozenset[str] = frozenset()

# Episodes decide them: they are not options of a few-shot run.
IMPLIED_BY_EPISODES = frozenset({"epochs", "batch_size"})

CLASSES = Kind(
    name="classes",
    command="train",
    does="Train peers on",
    data_options=DataConfig,
    options={
        DataConfig: frozenset({"data"}),
        CohortConfig: _ALL_FIELDS,
        TrainingConfig: _ALL_FIELDS,
        LossConfig: _ALL_FIELDS,
        TeacherConfig: _ALL_FIELDS,
    },
    recipes="peerdistill.config.recipes",
)

EPISODES = Kind(
    name="episodes",
    command="fewshot",
    does="Train prototypical peers on episodes of",
    data_options=FewShotData,
    options={
        FewShotData: frozenset({"data"}),
        EpisodeConfig: _ALL_FIELDS,
        CohortConfig: _ALL_FIELDS,
        TrainingConfig: IMPLIED_BY_EPISODES,
        TeacherConfig: _ALL_FIELDS,
    },
    recipes="peerdistill.config.recipes.fewshot",
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSES, EPISODES)}
"""The kinds of run by name."""
