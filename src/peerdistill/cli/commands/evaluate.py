"""Evaluate every peer, the leader and the ensemble of a run."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from jsonargparse import Namespace

from peerdistill.cli import tables
from peerdistill.cli.episodes import as_json, chosen_episodes, is_paper, require_no_episode_options
from peerdistill.cli.options import add_episodes, add_evaluation, add_json, add_places, add_run, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.runs.run import Run

HELP_ORDER = 40

_Checkpoint = Literal["last", "best"]


def run(words: list[str]) -> int:
    """Run ``peerdistill evaluate RUN [options]``."""
    parser = make_parser("evaluate", "RUN [options]", str(__doc__))
    add_run(parser)
    add_evaluation(parser)
    add_json(parser)
    add_episodes(parser)
    add_places(parser, other_images=True)
    options = parse_words(parser, words, kind="option of evaluate")
    evaluated = open_run(options)
    if evaluated.config.episodes is not None:
        return _evaluate_episodes(evaluated, options)
    require_no_episode_options(evaluated, options)
    return _evaluate_classes(evaluated, options)


def _evaluate_classes(run: Run, options: Namespace) -> int:
    evaluate = _evaluator(run, options)
    result = evaluate(options.checkpoint)
    if options.json:
        print_json(result)
        return 0
    beside = [evaluate(_other(options.checkpoint))] if run.checkpoints.best.exists() else []
    console().print(tables.evaluations([result, *beside]))
    return 0


def _evaluator(run: Run, options: Namespace) -> Callable[[_Checkpoint], dict[str, Any]]:
    """Return a function that evaluates a checkpoint on the images given by the options."""
    from peerdistill import runs

    found = runs.images_of(run, options.split)
    if isinstance(found, runs.OtherImages):
        split = found.split
        evaluate = partial(runs.evaluate_on, run, found, device=options.device)
    else:
        split = runs.chosen_split(run, found.data, options.split)
        evaluate = partial(runs.evaluate_run, run, split=split, device=options.device, task=found)
    return lambda checkpoint: {"checkpoint": checkpoint, "split": split, **evaluate(which=checkpoint).as_dict()}


def _evaluate_episodes(run: Run, options: Namespace) -> int:
    from peerdistill import runs

    episodes = chosen_episodes(run, options)
    task = runs.few_shot_task(run)
    split = runs.chosen_split(run, task.data, options.split)

    def evaluate(checkpoint: _Checkpoint) -> list[dict[str, Any]]:
        found = runs.examine(run, episodes, checkpoint, split, options.device, task=task)
        return [result.evaluation().as_dict() for result in found]

    about = {"checkpoint": options.checkpoint, "split": split}
    columns = evaluate(options.checkpoint)
    if options.json:
        print_json({**about, **as_json(columns, options)})
    elif is_paper(options) or not run.checkpoints.best.exists():
        console().print(tables.episodes([{**about, **column} for column in columns]))
    else:
        other = _other(options.checkpoint)
        beside = {**about, "checkpoint": other, **evaluate(other)[0]}
        console().print(tables.evaluations([{**about, **columns[0]}, beside]))
    return 0


def _other(checkpoint: _Checkpoint) -> _Checkpoint:
    return "best" if checkpoint == "last" else "last"
