"""Compare runs with the first one: configurations, results, and the uncertainty of the differences."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace
from rich.console import Group, RenderableType

from peerdistill.cli import tables
from peerdistill.cli.episodes import as_json, chosen_episodes, require_no_episode_options
from peerdistill.cli.options import add_episodes, add_evaluation, add_json, add_places, opened
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import UserError
from peerdistill.runs.run import PLACES, Run
from peerdistill.study.run_names import check_different

HELP_ORDER = 50


def run(words: list[str]) -> int:
    """Run ``peerdistill compare RUN RUN... [options]``."""
    parser = make_parser("compare", "RUN RUN... [options]", str(__doc__))
    parser.add_argument("runs", type=str, nargs="+", help="Folders of runs; the others are compared with the first.")
    add_evaluation(parser)
    add_json(parser)
    add_episodes(parser)
    add_places(parser)
    options = parse_words(parser, words, kind="option of compare")
    if len(options.runs) < 2:
        raise UserError(f"compare needs at least two runs, found only {options.runs[0]}")
    runs = [opened(path, options) for path in options.runs]
    check_different(runs)
    values, shown = _compared(runs, options)
    if options.json:
        print_json(values)
    else:
        console().print(shown)
    return 0


def _compared(runs: Sequence[Run], options: Namespace) -> tuple[dict[str, Any], RenderableType]:
    """Return the comparison for JSON and for a terminal."""
    kind = runs[0].config.kind
    if other := next((each for each in runs if each.config.kind != kind), None):
        commands = ("fewshot", "train") if kind == "episodes" else ("train", "fewshot")
        raise UserError(
            f"{runs[0].path} and {other.path} cannot be compared: peerdistill {commands[0]} trained the first, "
            f"peerdistill {commands[1]} the second"
        )
    if kind == "episodes" and len(runs) == 2:
        return _two_encoders(runs[0], runs[1], options)
    from peerdistill.study import comparison
    from peerdistill.study.comparison import terminal

    if kind == "episodes":
        sets, split = chosen_episodes(runs[0], options), options.split or "test"
        measured = comparison.episode_runs(runs, sets, options.checkpoint, split, options.device)
    else:
        require_no_episode_options(runs[0], options)
        _require_nothing_to_evaluate(options)
        measured = comparison.class_runs(runs, options.checkpoint, options.split)
    found = comparison.compare(measured)
    return {"checkpoint": options.checkpoint, **found.as_dict()}, terminal.render(found)


def _require_nothing_to_evaluate(options: Namespace) -> None:
    """Raise UserError if an option was given that matters only if networks are evaluated."""
    used = [name for name in PLACES if options[name] is not None]
    used += ["device"] if options.device != "cpu" else []
    if used:
        raise UserError(f"--{used[0]} applies to few-shot runs only: the folders of other runs hold their predictions")


def _two_encoders(first: Run, second: Run, options: Namespace) -> tuple[dict[str, Any], RenderableType]:
    """Return the comparison of two few-shot runs: one row per shape of episodes."""
    from peerdistill import runs
    from peerdistill.study.comparison import configurations, terminal

    split = options.split or "test"
    found = runs.compare(first, second, chosen_episodes(first, options), options.checkpoint, split, options.device)
    columns = [comparison.as_dict() for comparison in found]
    groups = configurations.by_configuration((first, second))
    different = configurations.different_options(groups)
    values = {
        "runs": {"first": str(first.path), "second": str(second.path)},
        "checkpoint": options.checkpoint,
        "split": split,
        "differences": configurations.named_differences(groups, different),
        **as_json(columns, options),
    }
    # A table would cut the ends of the paths, which distinguish the runs, to the width of the terminal.
    paths = f"first: {first.path}\nsecond: {second.path}"
    return values, Group(paths, terminal.differences(groups, different), tables.comparison(columns))
