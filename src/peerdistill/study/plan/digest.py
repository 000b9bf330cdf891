"""A short name for a configuration: runs with the same digest differ at most in their seed, data places and machine."""

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peerdistill.config import read_config
from peerdistill.config.config import CONFIG_FILE, Config, defaults_of
from peerdistill.config.kinds import KINDS
from peerdistill.config.typed import dotted
from peerdistill.data.config import DataConfig, Preprocessing
from peerdistill.runs.identity import MAY_CHANGE
from peerdistill.runs.run import PLACES

PREPROCESSING = ("mean", "std", "crop", "interpolation")
"""Options of the data that pretrained weights decide when a run starts."""

# With these values the null of a configuration is replaced if the images are in a folder, and not if they are arrays.
_FOR_FOLDERS = {
    name: list(value) if isinstance(value, tuple) else value for name, value in asdict(Preprocessing()).items()
}
_IGNORED = MAY_CHANGE | {"seed", *PLACES}
_DIGITS = 8
_OF_A_CELL = re.compile(rf"-([0-9a-f]{{{_DIGITS}}}-s[0-9]+)$")


def digest(config: Config) -> str:
    """Return 8 hexadecimal digits of everything that determines a run, except its seed and the places of its data.

    Device, loggers, data-loading workers, caches and logging intervals are ignored. Options with their default value
    are left out, so that a new option changes no digest. A teacher counts as the digest and seed of its run, or as the
    name of its file.

    Example:
        >>> here = Config.from_dict({"data": "digits", "seed": 1, "epochs": 5})
        >>> there = Config.from_dict({"data": "digits", "seed": 2, "epochs": 5, "device": "cpu"})
        >>> digest(here) == digest(there)
        True
    """
    text = json.dumps(_decisive(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _decisive(config: Config) -> dict[str, Any]:
    """Return the options that count, by dotted name."""
    found = dotted(json.loads(json.dumps(config.as_dict())))
    ignored = _IGNORED | set(PREPROCESSING if config.cohort.pretrained or config.cohort.weights else ())
    defaults = defaults_of(KINDS[config.kind], config.method, ())
    kept = {
        name: value
        for name, value in found.items()
        if name not in ignored and not (name in defaults and value == defaults[name])
    }
    if isinstance(config.data, DataConfig):
        kept = {name: value for name, value in kept.items() if value != _FOR_FOLDERS.get(name)}
    for name in ("teacher", "weights"):
        if kept.get(name):
            kept[name] = _network(Path(kept[name]))
    return kept


def _network(source: Path) -> str:
    """Return what identifies a trained network, wherever it is stored."""
    if (source / CONFIG_FILE).is_file():
        config = read_config(source / CONFIG_FILE)
        return f"{digest(config)}-s{config.training.seed}"
    of_cell = _OF_A_CELL.search(source.name)
    return of_cell[1] if of_cell else source.name
