"""Options that several commands share."""

from pathlib import Path
from typing import Literal, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from peerdistill.deploy import formats
from peerdistill.errors import UserError
from peerdistill.fewshot.config import EpisodeSetConfig
from peerdistill.paths import user_path
from peerdistill.runs.run import PLACES, Run

_PLACES = {
    "data": "Current location of the run's training data; verified by content.",
    "test": "Current location of the test images of npz data.",
    "labels": "Current location of the table of labels, see train --labels (off: --data has class folders).",
    "root": "Current parent folder of built-in data such as cifar100 or omniglot.",
}
_OTHER_IMAGES = "Current location of the run's data, or other images with the run's classes."
EPISODES = {
    "ways": "classes per episode",
    "shots": "support images per class",
    "queries": "query images per class",
    "episodes": "number of episodes",
    "seed": "seed of the episodes",
}
"""The options of few-shot runs that replace a value of the run's test episodes."""


def add_run(parser: ArgumentParser) -> None:
    """Add RUN."""
    parser.add_argument("run", type=str, help="Folder of a run.")


def add_checkpoint(parser: ArgumentParser) -> None:
    """Add ``--checkpoint``."""
    parser.add_argument(
        "--checkpoint",
        type=Literal["last", "best"],
        default="last",
        help="Checkpoint of the last epoch, or of the best epoch on validation images.",
    )


def add_what(parser: ArgumentParser) -> None:
    """Add ``--what``."""
    parser.add_argument(
        "--what",
        type=str | None,
        default=None,
        help="Network of the run: leader (default), ensemble (all peers), peer:K, ema (moving average of the leader's "
        "weights) or average (mean of the peers' weights).",
    )


def format_help() -> str:
    """Return the help of ``--format``, which lists the formats."""
    listed = ", ".join(f"{name} ({format.help})" for name, format in formats.FORMATS.items())
    return f"File format: {listed}, or {formats.FORM}."


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def add_csv(parser: ArgumentParser, content: str) -> None:
    """Add ``--csv``, a file with such content."""
    help = f"File to write with one line per picture: {content}. An existing file is replaced."
    parser.add_argument("--csv", type=str | None, default=None, help=help)


def file_option(options: Namespace, name: str, *suffixes: str) -> Path | None:
    """Return the file that the option ``name`` gives, checked before anything slow.

    Raises:
        UserError: If it ends in none of the suffixes, is a folder, or lies in a folder that does not exist.
    """
    if options[name] is None:
        return None
    path = user_path(options[name], f"--{name}")
    if path.suffix.lower() not in suffixes:
        raise UserError(f"--{name} must name a file that ends in {suffixes[0]}, found {path}")
    if path.is_dir():
        raise UserError(f"--{name} must name a file, and {path} is a folder")
    if not path.parent.is_dir():
        raise UserError(f"--{name} {path} cannot be written: there is no folder {path.parent}")
    return path


def folder_option(options: Namespace, name: str) -> Path | None:
    """Return the folder that the option ``name`` gives, checked before anything slow; it need not exist.

    Raises:
        UserError: If it is a file, or lies below one.
    """
    if options[name] is None:
        return None
    folder = user_path(options[name], f"--{name}")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"--{name} must name a folder, and {existing} is a file")
    return folder


def add_evaluation(parser: ArgumentParser) -> None:
    """Add which checkpoint to evaluate, on which split and device."""
    add_checkpoint(parser)
    parser.add_argument(
        "--split",
        type=Literal["test", "val"],
        default=None,
        help="Evaluation set (default: test, or val if the data has no test images).",
    )
    parser.add_argument("--device", type=Literal["cpu", "cuda", "mps"], default="cpu", help="Device to evaluate on.")


def add_episodes(parser: ArgumentParser) -> None:
    """Add the options of few-shot runs: which episodes to evaluate on."""
    types = get_type_hints(EpisodeSetConfig, include_extras=True)  # the ranges of the test episodes' options
    for name, meaning in EPISODES.items():
        parser.add_argument(f"--{name}", type=types[name] | None, default=None, help=f"Few-shot runs: {meaning}.")
    parser.add_argument(
        "--protocol",
        type=Literal["own", "paper"],
        default="own",
        help="Few-shot runs: the run's own test episodes (changed by the options above), or the columns of Table 5.",
    )


def add_places(parser: ArgumentParser, *, other_images: bool = False) -> None:
    """Add ``--data``, ``--test`` and ``--root``: the current location of the run's data.

    Args:
        parser: Parser of the command.
        other_images: Whether ``--data`` may also be other images with the run's classes.
    """
    for name in PLACES:
        text = _OTHER_IMAGES if other_images and name == "data" else _PLACES[name]
        parser.add_argument(f"--{name}", type=str | None, default=None, help=text)


def open_run(options: Namespace) -> Run:
    """Return the run given by RUN and, if the command has them, the options of :func:`add_places`.

    Raises:
        UserError: If the folder is not a run.
    """
    return opened(options.run, options)


def opened(name: str, options: Namespace) -> Run:
    """Return a run by its folder, with its data in the place given by the options of :func:`add_places`.

    Raises:
        UserError: If the folder is not a run.
    """
    run = Run(name, {place: options[place] for place in PLACES if options.get(place) is not None})
    run.require()
    return run
