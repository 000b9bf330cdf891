"""Checks that a checkpoint and the configuration of its run belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerdistill.config.config import Config
from peerdistill.config.typed import dotted
from peerdistill.errors import UserError

# A resumed run may use other hardware, loggers and logging intervals; all other options affect its results.
MAY_CHANGE = frozenset(
    {"device", "devices", "cuda_graphs", "workers", "log_every", "loggers", "checkpoint_every"}
    | {"root", "cache", "cache_gib"}
)

# Places of data: a checkpoint records their content.
_BY_CONTENT = frozenset({"data", "test", "labels"})

# Options that say how long a run is.
_LENGTHS = frozenset({"epochs", "episodes"})

_PARTS = frozenset({"notes", "progress", "cohort", "method", "ensemble"})


def decisive_options(config: Config) -> dict[str, Any]:
    """Return the options that affect the results of a run as plain values, by dotted name."""
    kept = {name: value for name, value in config.as_dict().items() if name not in MAY_CHANGE}
    return {name: _as_read(value) for name, value in dotted(kept).items()}


def _as_read(value: Any) -> Any:
    """Return a value as a configuration file has it: YAML has lists, and no tuples."""
    return [_as_read(one) for one in value] if isinstance(value, list | tuple) else value


def check_same_options(run: Path, before: Config, now: Config) -> None:
    """Raise UserError if an option has changed since a run was started; data may move, their content is checked."""
    started_with, asked_for = decisive_options(before), decisive_options(now)
    for name in sorted((started_with.keys() | asked_for.keys()) - _BY_CONTENT):
        was, is_now = started_with.get(name), asked_for.get(name)
        if was != is_now:
            found = f"{run} was started with {name} {was}, found {is_now}"
            if name in _LENGTHS:
                raise UserError(
                    f"{found}: its learning-rate schedule was planned for {was}. To train further, start a new run "
                    f"from its leader with --weights {run}"
                )
            raise UserError(f"{found}: a resumed run keeps its configuration")


def check_belongs(state: Mapping[str, Any], checkpoint: Path, config: Config, config_file: Path) -> None:
    """Raise UserError if ``state`` is not a checkpoint of a run with this configuration.

    Args:
        state: Content of the checkpoint.
        checkpoint: File of the checkpoint, for messages.
        config: Configuration of the run.
        config_file: File of the configuration, for messages.
    """
    if lacking := _PARTS - state.keys():
        raise UserError(f"{checkpoint} is not a checkpoint of a run: it lacks '{min(lacking)}'")
    trained_with = state["notes"].get("options")
    if trained_with is None:  # of an earlier version
        return
    says = decisive_options(config)
    # Options that only one of them has are those of another version.
    for name in sorted((trained_with.keys() & says.keys()) - _BY_CONTENT):
        if trained_with[name] != says[name]:
            raise UserError(
                f"{checkpoint} was trained with {name} {trained_with[name]}, and {config_file} says {says[name]}: "
                "they do not belong together"
            )


def load_into(module: Any, state: Any, checkpoint: Path) -> Any:
    """Load ``state`` into ``module`` and return the result of its ``load_state_dict``.

    Raises:
        UserError: It is the state of something else.
    """
    try:
        return module.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(f"{checkpoint} contains another network or method than the configuration of its run") from error
