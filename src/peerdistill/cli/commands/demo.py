"""Train on handwritten digits, evaluate, export and predict, in about a minute."""

from peerdistill.cli.printing import console
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.paths import user_path
from peerdistill.runs.run import Run

HELP_ORDER = 10


def run(words: list[str]) -> int:
    """Run ``peerdistill demo [--run DIR]``."""
    parser = make_parser("demo", "[--run DIR]", str(__doc__))
    parser.add_argument("--run", type=str, default="runs/demo", help="Folder of the demonstration, new or empty.")
    options = parse_words(parser, words, kind="option of demo")
    Run(options.run).require_free()
    from peerdistill.study.demo import run_demo

    run_demo(user_path(options.run, "--run"), console())
    return 0
