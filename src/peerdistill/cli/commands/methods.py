"""List the methods, or show one of them with its options."""

from peerdistill.cli import tables
from peerdistill.cli.printing import console
from peerdistill.config.parser import make_parser, parse_words

HELP_ORDER = 90


def run(words: list[str]) -> int:
    """Run ``peerdistill methods [NAME]``."""
    parser = make_parser("methods", "[NAME]", str(__doc__))
    parser.add_argument("name", type=str | None, nargs="?", default=None, help="Method to show.")
    options = parse_words(parser, words, kind="option of methods")
    shown = tables.methods() if options.name is None else tables.method(options.name)
    console().print(shown, soft_wrap=True)
    return 0
