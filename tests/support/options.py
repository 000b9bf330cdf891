"""Options of short runs, and their form on the command line."""

from collections.abc import Mapping


def option_words(options: Mapping[str, object]) -> list[str]:
    """Return options as words of the command line: ``--name=value``."""
    return [f"--{name}={value}" for name, value in options.items()]


def few_shot(episodes: int = 2, per_epoch: int = 1, validation: int = 3, test: int = 6) -> dict[str, object]:
    """Return the options of a few-shot run with so many episodes for training, validation and test."""
    small = {f"{split}.{name}": 2 for split in ("validation", "test") for name in ("ways", "queries")}
    return {
        **{"ways": 3, "queries": 2, "episodes": episodes, "episodes_per_epoch": per_epoch},
        **small,
        **{"validation.episodes": validation, "test.episodes": test},
    }


PROTOTYPICAL = {"method": "baseline", "peers": 1, "sharing": "network"}
"""Options of a prototypical network without peers."""
