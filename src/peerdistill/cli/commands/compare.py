"""Compare the leaders of two few-shot runs on the same episodes."""

from peerdistill.cli import tables
from peerdistill.cli.episodes import as_json, chosen_episodes
from peerdistill.cli.options import add_episodes, add_evaluation, add_json
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.runs.run import Run

HELP_ORDER = 50


def run(words: list[str]) -> int:
    """Run ``peerdistill compare RUN RUN [options]``."""
    parser = make_parser("compare", "RUN RUN [options]", str(__doc__))
    parser.add_argument("first", type=str, help="Folder of a run.")
    parser.add_argument("second", type=str, help="Folder of a run; the difference is second minus first.")
    add_evaluation(parser)
    add_json(parser)
    add_episodes(parser)
    options = parse_words(parser, words, kind="option of compare")
    first, second = Run(options.first), Run(options.second)
    for each in (first, second):
        each.require()
    from peerdistill import runs

    for each in (first, second):
        runs.episode_sets(each)  # raises for a run without episodes
    split = options.split or "test"
    found = runs.compare(first, second, chosen_episodes(first, options), options.checkpoint, split, options.device)
    columns = [comparison.as_dict() for comparison in found]
    if options.json:
        names = {"first": str(first.path), "second": str(second.path)}
        about = {"runs": names, "checkpoint": options.checkpoint, "split": split}
        print_json({**about, **as_json(columns, options)})
    else:
        # A table would cut the ends of the paths, which distinguish the runs, to the width of the terminal.
        console().print(f"first: {first.path}\nsecond: {second.path}", soft_wrap=True)
        console().print(tables.comparison(columns))
    return 0
