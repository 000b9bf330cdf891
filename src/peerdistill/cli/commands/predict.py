"""Classify pictures with an exported leader or a run."""

from typing import TYPE_CHECKING, Annotated

from jsonargparse import Namespace

from peerdistill.cli import tables, tell
from peerdistill.cli.options import add_json, format_help
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import UserError
from peerdistill.paths import user_path
from peerdistill.ranges import Range
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.deploy import Prediction

HELP_ORDER = 80


def run(words: list[str]) -> int:
    """Run ``peerdistill predict FILE_OR_RUN PICTURES... [options]``."""
    parser = make_parser("predict", "FILE_OR_RUN PICTURES... [options]", str(__doc__))
    parser.add_argument("model", type=str, help="Exported leader, or folder of a run.")
    parser.add_argument("pictures", type=str, nargs="+", help="Picture files.")
    parser.add_argument(
        "--format", type=str | None, default=None, help=f"{format_help()} By default, the suffix decides."
    )
    parser.add_argument(
        "--support",
        type=str | None,
        default=None,
        help="For an encoder: folder with one folder of example pictures per class.",
    )
    top = Annotated[int, Range(least=1, most=1_000_000)]
    parser.add_argument("--top", type=top, default=3, help="Number of classes to print per picture.")
    add_json(parser)
    options = parse_words(parser, words, kind="option of predict")
    unreadable: list[UserError] = []
    predictions = _predictions(options, unreadable)
    if options.json:
        print_json(
            [
                {"path": str(found.path), "classes": found.classes, "probabilities": found.probabilities}
                for found in predictions
            ]
        )
    elif predictions:
        console().print(tables.predictions(predictions), soft_wrap=True)
    for error in unreadable:
        tell(str(error))
    return 2 if unreadable else 0


def _predictions(options: Namespace, unreadable: list[UserError]) -> "list[Prediction]":
    """Return the predictions for all readable pictures, and append the errors of the others to ``unreadable``."""
    model = user_path(options.model, "the model")
    pictures = [user_path(name, "a picture") for name in options.pictures]
    if not model.exists():
        raise UserError(f"no file or run folder {model}")
    from peerdistill import deploy

    support = None if options.support is None else user_path(options.support, "--support")
    how = {"support": support, "top": options.top, "unreadable": unreadable.append}
    if not model.is_dir():
        return deploy.predict(model, pictures, format=options.format, **how)
    run = Run(options.model)
    run.require()
    return run.predict(pictures, **how)
