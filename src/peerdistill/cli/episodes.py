"""What the command line asks of few-shot runs: accuracies over episodes, of one run or of two side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from peerdistill.cli import tables
from peerdistill.cli.printing import console, print_json
from peerdistill.errors import UserError
from peerdistill.fewshot.config import ExamConfig
from peerdistill.runs.run import Run

_NUMBERS = {
    "ways": "classes of an episode",
    "shots": "support images of a class",
    "queries": "query images of a class",
    "episodes": "number of episodes",
    "seed": "seed of the episodes",
}
# As for the same options of the test episodes.
_RANGES = get_type_hints(ExamConfig, include_extras=True)


def add_options(parser: ArgumentParser) -> None:
    """Add which checkpoint, split and device, and which episodes."""
    parser.add_argument(
        "--checkpoint",
        type=Literal["last", "best"],
        default="last",
        help="Last epoch, or the best on validation images.",
    )
    parser.add_argument(
        "--split",
        type=Literal["test", "val"],
        default=None,
        help="Images to evaluate on (default: test, or val where there are no test images).",
    )
    parser.add_argument("--device", type=Literal["cpu", "cuda", "mps"], default="cpu", help="Where to evaluate.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    for name, meaning in _NUMBERS.items():
        parser.add_argument(f"--{name}", type=_RANGES[name] | None, default=None, help=f"Few-shot runs: {meaning}.")
    parser.add_argument(
        "--protocol",
        type=Literal["own", "paper"],
        default="own",
        help="Few-shot runs: the run's own test episodes, but for the numbers above, or the columns of Table 5.",
    )


def check_unused(run: Run, options: Namespace) -> None:
    """Raise UserError for options of episodes on a run that has none."""
    used = [name for name in _NUMBERS if options[name] is not None]
    used += ["protocol"] if _is_paper(options) else []
    if used:
        raise UserError(f"--{used[0]} goes with runs of peerdistill fewshot, {run.path} was trained by train")


def evaluate(run: Run, options: Namespace) -> int:
    """Show the accuracies of a few-shot run."""
    from peerdistill import runs

    asked = _asked(run, options)
    task = runs.few_shot_task(run)
    split = runs.chosen_split(run, task.data, options.split)

    def measure(checkpoint: Literal["last", "best"]) -> list[dict[str, Any]]:
        found = runs.examine(run, asked, checkpoint, split, options.device, task=task)
        return [examined.evaluation().as_dict() for examined in found]

    told = {"checkpoint": options.checkpoint, "split": split}
    columns = measure(options.checkpoint)
    if options.json:
        print_json({**told, **_as_json(columns, options)})
    elif _is_paper(options) or not run.checkpoints.best.exists():
        console().print(tables.episodes([{**told, **column} for column in columns]))
    else:
        other: Literal["last", "best"] = "best" if options.checkpoint == "last" else "last"
        beside = {**told, "checkpoint": other, **measure(other)[0]}
        console().print(tables.evaluations([{**told, **columns[0]}, beside]))
    return 0


def compare(first: Run, second: Run, options: Namespace) -> int:
    """Show the leaders of two few-shot runs in the same episodes."""
    from peerdistill import runs

    for run in (first, second):
        runs.exam_configs(run)
    split = options.split or "test"
    found = runs.compare(first, second, _asked(first, options), options.checkpoint, split, options.device)
    columns = [comparison.as_dict() for comparison in found]
    if options.json:
        told = {"first": str(first.path), "second": str(second.path)}
        print_json(
            {
                "runs": told,
                "checkpoint": options.checkpoint,
                "split": split,
                **_as_json(columns, options),
            }
        )
    else:
        # In the table, two folders' ends, which tell them apart, would be cut to the terminal's width.
        names = f"first: {first.path}\nsecond: {second.path}"
        console().print(names, soft_wrap=True)
        console().print(tables.comparison(columns))
    return 0


def _is_paper(options: Namespace) -> bool:
    return options.protocol == "paper"


def _as_json(columns: Sequence[dict[str, Any]], options: Namespace) -> dict[str, Any]:
    return {"protocol": options.protocol, "columns": columns} if _is_paper(options) else columns[0]


def _asked(run: Run, options: Namespace) -> tuple[ExamConfig, ...]:
    """Return the episodes that the options ask for; what they leave open is as in the run's own test episodes."""
    from peerdistill import runs

    given = {name: options[name] for name in _NUMBERS if options[name] is not None}
    if _is_paper(options):
        if given:
            raise UserError(f"--{next(iter(given))} does not go with --protocol {options.protocol}, which sets it")
        return runs.exam_configs(run, paper=True)
    (own,) = runs.exam_configs(run)
    return runs.exam_configs(run, replace(own, **given))
