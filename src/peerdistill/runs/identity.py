"""Whether a checkpoint and the configuration beside it belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from peerdistill.config.config import Config
from peerdistill.config.typed import dotted
from peerdistill.errors import UserError

# A resumed run may use other hardware and report at another pace; everything else decides its numbers.
MAY_CHANGE = frozenset({"device", "workers", "log_every", "checkpoint_every", "root", "cache", "cache_gib"})

# Where data lie: a checkpoint's notes tell their content.
_BY_CONTENT = frozenset({"data", "test"})

_PARTS = frozenset({"notes", "progress", "cohort", "method", "ensemble"})


def decisive_options(config: Config) -> dict[str, Any]:
    """Return the options that decide a run's numbers, nested groups under dotted names, as plain values."""
    plain = yaml.safe_load(config.as_yaml())
    return dotted({name: value for name, value in plain.items() if name not in MAY_CHANGE})


def check_same_options(run: Path, before: Config, now: Config) -> None:
    """Raise UserError where a run would go on with an option changed; data may have moved, its content is checked."""
    started_with, asked_for = decisive_options(before), decisive_options(now)
    for name in sorted((started_with.keys() | asked_for.keys()) - _BY_CONTENT):
        was, is_now = started_with.get(name), asked_for.get(name)
        if was != is_now:
            raise UserError(
                f"{run} was started with {name} {was}, found {is_now}: a resumed run keeps its configuration"
            )


def check_belongs(state: Mapping[str, Any], checkpoint: Path, config: Config, config_file: Path) -> None:
    """Raise UserError where ``state`` is not a checkpoint of a run, or of one with another configuration.

    Args:
        state: What ``checkpoint`` holds.
        checkpoint: For the message.
        config: What ``config_file`` holds.
        config_file: For the message.
    """
    if lacking := _PARTS - state.keys():
        raise UserError(f"{checkpoint} is not a checkpoint of a run: it lacks '{min(lacking)}'")
    trained_with = state["notes"].get("options")
    if trained_with is None:  # of an earlier version
        return
    says = decisive_options(config)
    # What only one of them knows is an option of another version.
    for name in sorted((trained_with.keys() & says.keys()) - _BY_CONTENT):
        if trained_with[name] != says[name]:
            raise UserError(
                f"{checkpoint} was trained with {name} {trained_with[name]}, and {config_file} says {says[name]}: "
                "they don't belong together"
            )


def load_into(module: Any, state: Any, checkpoint: Path) -> Any:
    """Let ``module`` load ``state`` and return what its ``load_state_dict`` returns.

    Raises:
        UserError: Where it is the state of something else.
    """
    try:
        return module.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(f"{checkpoint} holds another network or method than its run's configuration names") from error
