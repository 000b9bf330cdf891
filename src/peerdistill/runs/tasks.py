"""The task of a run."""

from pathlib import Path

from peerdistill.config import Config
from peerdistill.config.kinds import KindName
from peerdistill.data.arrays import GivenImages
from peerdistill.errors import UserError
from peerdistill.runs.class_task import ClassTask
from peerdistill.runs.episode_task import EpisodeTask
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task

_TASKS: dict[KindName, type[ClassTask] | type[EpisodeTask]] = {"classes": ClassTask, "episodes": EpisodeTask}


def load_task(
    config: Config, *, download: bool = False, skip_unreadable: bool = False, given: GivenImages | None = None
) -> Task:
    """Return the task of a configuration, with its data loaded.

    Args:
        config: Configuration of a run.
        download: Download data that are missing.
        skip_unreadable: Leave out pictures that cannot be read.
        given: The content of the npz files that the configuration names.

    Raises:
        UserError: The data are missing or damaged.
    """
    return _TASKS[config.kind](config, download=download, skip_unreadable=skip_unreadable, given=given)


def load_task_of(run: Run) -> Task:
    """Return the task of a run, with its data loaded; pictures that cannot be read are left out.

    Raises:
        UserError: The data are missing or damaged.
    """
    config = run.config
    missing = config.data.sources.missing_path(config.data.data)
    if missing is not None:
        raise UserError(f"the data of {run.path} is no longer in '{missing}': pass its new place by --data")
    labels = getattr(config.data, "labels", None)
    if labels is not None and not Path(labels).is_file():
        raise UserError(f"the table of labels of {run.path} is no longer '{labels}': pass its new place by --labels")
    return load_task(config, skip_unreadable=True)
