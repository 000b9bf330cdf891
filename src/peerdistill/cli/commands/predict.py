"""Classify pictures with an exported file or a run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from jsonargparse import Namespace
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from peerdistill.cli import tables, tell
from peerdistill.cli.options import add_csv, add_json, add_what, file_option, format_help
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.deploy import formats
from peerdistill.deploy.what import LEADER
from peerdistill.errors import UserError
from peerdistill.files import write_csv
from peerdistill.paths import user_path
from peerdistill.ranges import Range
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.deploy import Prediction

HELP_ORDER = 80

_PICTURES_WITHOUT_BAR = 300


def run(words: list[str]) -> int:
    """Run ``peerdistill predict FILE_OR_RUN PICTURES... [options]``."""
    parser = make_parser("predict", "FILE_OR_RUN PICTURES... [options]", str(__doc__))
    parser.add_argument("model", type=str, help="Exported file or folder, or folder of a run.")
    parser.add_argument(
        "pictures",
        type=str,
        nargs="+",
        help="Picture files, folders (with all folders below them), patterns such as 'photos/**/*.jpg', and lists: "
        "@FILE names one picture, folder or pattern per line.",
    )
    add_what(parser)
    parser.add_argument(
        "--format", type=str | None, default=None, help=f"{format_help()} By default, the suffix decides."
    )
    parser.add_argument(
        "--support",
        type=str | None,
        default=None,
        help="For an encoder: folder with one folder of example pictures per class.",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="Open a model that is a program (.pt2). It can do anything: use it only for files whose origin you know.",
    )
    top = Annotated[int, Range(least=1, most=1_000_000)]
    parser.add_argument("--top", type=top, default=3, help="Number of classes to print per picture.")
    add_json(parser)
    add_csv(parser, "path, predicted class and its probability, then the next classes (--top)")
    options = parse_words(parser, words, kind="option of predict")
    csv = file_option(options, "csv", ".csv")
    unreadable: list[UserError] = []
    predictions = _predictions(options, unreadable)
    if csv is not None:
        _write_csv(csv, predictions, options.top)
    if options.json:
        print_json(
            [
                {"path": str(found.path), "classes": found.classes, "probabilities": found.probabilities}
                for found in predictions
            ]
        )
    elif csv is not None:
        console().print(f"wrote {csv} ({len(predictions)} pictures)", soft_wrap=True)
    elif predictions:
        console().print(tables.predictions(predictions), soft_wrap=True)
    for error in unreadable:
        tell(str(error))
    return 2 if unreadable else 0


def _predictions(options: Namespace, unreadable: list[UserError]) -> "list[Prediction]":
    """Return the predictions for all readable pictures, and append the errors of the others to ``unreadable``."""
    model = user_path(options.model, "the model")
    if not model.exists():
        raise UserError(f"no file or run folder {model}")
    from peerdistill import deploy

    support = None if options.support is None else user_path(options.support, "--support")
    how = {"support": support, "top": options.top, "unreadable": unreadable.append}
    run = Run(options.model) if model.is_dir() and not formats.is_model_folder(model) else None
    if run is not None:
        run.require()
        if options.format is not None:
            raise UserError(f"--format says how a file is read, and {model} is the folder of a run")
    elif options.what is not None:
        raise UserError(f"--what chooses a network of a run, and {model} holds one network")
    with _progress() as progress:
        if run is not None:
            return run.predict(options.pictures, what=options.what or LEADER, progress=progress, **how)
        how |= {"format": options.format, "trust": options.trust}
        return deploy.predict(model, options.pictures, progress=progress, **how)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many of many pictures are done, as a bar on stderr if it is a terminal."""
    screen = console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.completed} of {task.total} pictures"), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", visible=False)

        def show(done: int, pictures: int) -> None:
            bar.update(task, completed=done, total=pictures, visible=pictures > _PICTURES_WITHOUT_BAR)

        yield show


def _write_csv(path: Path, predictions: "Sequence[Prediction]", top: int) -> None:
    """Write a line per picture with its most probable classes."""
    most = max((len(found.classes) for found in predictions), default=top)
    numbers = ["", *(f"_{rank}" for rank in range(2, most + 1))]
    header = ["path", *(f"{column}{number}" for number in numbers for column in ("predicted", "probability"))]
    rows = ([str(found.path), *chain.from_iterable(_ranked(found))] for found in predictions)
    write_csv(path, header, rows)


def _ranked(found: "Prediction") -> Iterator[tuple[str, str]]:
    for name, probability in zip(found.classes, found.probabilities, strict=True):
        yield name, f"{probability:.6f}"
