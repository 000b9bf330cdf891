"""The task of a configuration."""

from peerdistill.config.config import Config
from peerdistill.errors import UserError
from peerdistill.runs.class_task import ClassTask
from peerdistill.runs.episode_task import EpisodeTask
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task


def load_task(config: Config, *, download: bool = False, skip_unreadable: bool = False) -> Task:
    """Return the task of ``config``, its data loaded.

    Args:
        config: Of a run.
        download: Fetch data that can be fetched.
        skip_unreadable: Leave out pictures that can't be read.

    Raises:
        UserError: For data that are not there or damaged.
    """
    kind = ClassTask if config.episodes is None else EpisodeTask
    return kind(config, download=download, skip_unreadable=skip_unreadable)


def load_task_of(run: Run) -> Task:
    """Return the task of a run, its data loaded without what can't be read.

    Raises:
        UserError: For data that are not there any more, or damaged.
    """
    config = run.config
    missing = config.data.sources.missing_path(config.data.data)
    if missing is not None:
        raise UserError(f"the data of {run.path} is no longer in '{missing}': --data says where it is now")
    return load_task(config, skip_unreadable=True)
