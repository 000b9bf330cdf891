"""Train on handwritten digits, evaluate, export and predict, in about a minute."""

from typing import Annotated

from peerdistill.cli.printing import console
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.paths import user_path
from peerdistill.ranges import Range
from peerdistill.runs.run import Run

HELP_ORDER = 10

Seeds = Annotated[int, Range(least=1, most=92)]  # higher ones were used to choose sizes and options
Epochs = Annotated[int, Range(least=1, most=1000)]


def run(words: list[str]) -> int:
    """Run ``peerdistill demo [options]``."""
    parser = make_parser("demo", "[options]", str(__doc__))
    parser.add_argument("--run", type=str, default="runs/demo", help="Folder of the demonstration, new or empty.")
    parser.add_argument(
        "--seeds", type=Seeds, default=12, help="Number of seeds. With few of them, differences are not significant."
    )
    parser.add_argument("--epochs", type=Epochs, default=15, help="Epochs of each training.")
    options = parse_words(parser, words, kind="option of demo")
    Run(options.run).require_free()
    from peerdistill.study.demo import Plan, run_demo

    run_demo(user_path(options.run, "--run"), console(), Plan.of(options.seeds, options.epochs))
    return 0
