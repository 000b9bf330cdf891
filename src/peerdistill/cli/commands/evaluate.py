"""Evaluate every peer, the leader and the ensemble of a run."""

from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from peerdistill.cli import tables
from peerdistill.cli.episodes import as_json, chosen_episodes, is_paper, require_no_episode_options
from peerdistill.cli.options import (
    add_csv,
    add_episodes,
    add_evaluation,
    add_json,
    add_places,
    add_run,
    file_option,
    folder_option,
    open_run,
)
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import UserError
from peerdistill.runs.run import Run, Which

if TYPE_CHECKING:
    from peerdistill.runs import RunEvaluator

HELP_ORDER = 40


def run(words: list[str]) -> int:
    """Run ``peerdistill evaluate RUN [options]``."""
    parser = make_parser("evaluate", "RUN [options]", str(__doc__))
    add_run(parser)
    add_evaluation(parser)
    add_json(parser)
    add_csv(parser, "path or index, true and predicted class, probability, whether correct")
    parser.add_argument(
        "--pictures",
        type=str | None,
        default=None,
        help="Folder to write PNG plots to: confusion matrix, most confident mistakes, reliability diagram. Existing "
        "plots are replaced.",
    )
    parser.add_argument(
        "--average",
        action="store_true",
        help="Also evaluate the mean of the peers' weights, with batch normalisation estimated on training images.",
    )
    add_episodes(parser)
    add_places(parser, other_images=True)
    options = parse_words(parser, words, kind="option of evaluate")
    evaluated = open_run(options)
    if evaluated.config.kind == "episodes":
        _require_no_class_options(evaluated, options)
        return _evaluate_episodes(evaluated, options)
    require_no_episode_options(evaluated, options)
    return _evaluate_classes(evaluated, options)


def _evaluate_classes(run: Run, options: Namespace) -> int:
    csv, folder = file_option(options, "csv", ".csv"), folder_option(options, "pictures")
    from peerdistill import runs

    evaluator = runs.evaluator_of(run, options.split, options.device)
    report = evaluator.report(options.checkpoint, average=options.average)
    if options.json:
        print_json(report.as_dict())
    else:
        others = [_scores(evaluator, other, average=options.average) for other in _others(run, options.checkpoint)]
        console().print(tables.evaluations([report.as_dict(), *others]))
        console().print(tables.classes(report), soft_wrap=True)
    written = []
    if csv is not None:
        report.write_csv(csv)
        written.append(csv)
    if folder is not None:
        written += report.draw(folder)
    if not options.json:
        for file in written:
            console().print(f"wrote {file}", soft_wrap=True)
    return 0


def _scores(evaluator: "RunEvaluator", checkpoint: Which, *, average: bool) -> dict[str, Any]:
    found = {"checkpoint": checkpoint, "split": evaluator.split, **evaluator(checkpoint).as_dict()}
    return {**found, "average": evaluator.average(checkpoint).as_dict()} if average else found


def _require_no_class_options(run: Run, options: Namespace) -> None:
    """Raise UserError if an option of runs on classes was given for a few-shot run."""
    if options.average:
        raise UserError(f"--average does not apply to few-shot runs: {run.path}")
    for name in ("csv", "pictures"):
        if options[name] is not None:
            raise UserError(
                f"--{name} does not apply to few-shot runs, whose classes differ from episode to episode: {run.path}"
            )


def _evaluate_episodes(run: Run, options: Namespace) -> int:
    from peerdistill import runs

    episodes = chosen_episodes(run, options)
    task = runs.few_shot_task(run)
    split = runs.chosen_split(run, task.data, options.split)

    def about(checkpoint: Which) -> dict[str, Any]:
        return {"checkpoint": checkpoint, "split": split}

    def evaluate(checkpoint: Which) -> list[dict[str, Any]]:
        found = runs.evaluate_episodes(run, episodes, checkpoint, split, options.device, task=task)
        return [result.evaluation().as_dict() for result in found]

    columns = evaluate(options.checkpoint)
    shown = [{**about(options.checkpoint), **column} for column in columns]
    if options.json:
        print_json({**about(options.checkpoint), **as_json(columns, options)})
    elif is_paper(options) or "best" not in run.saved:
        console().print(tables.episodes(shown))
    else:
        others = [{**about(other), **evaluate(other)[0]} for other in _others(run, options.checkpoint)]
        console().print(tables.evaluations([*shown, *others]))
    return 0


def _others(run: Run, checkpoint: Which) -> list[Which]:
    """Return the checkpoints that exist beside the chosen one."""
    return [other for other in run.saved if other != checkpoint]
