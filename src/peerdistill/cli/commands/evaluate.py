"""Evaluate every peer, the leader and the ensemble of a run."""

from typing import Any

from jsonargparse import Namespace

from peerdistill.cli import tables
from peerdistill.cli.episodes import as_json, chosen_episodes, is_paper, require_no_episode_options
from peerdistill.cli.options import add_episodes, add_evaluation, add_json, add_places, add_run, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.runs.run import Run, Which

HELP_ORDER = 40


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
    if evaluated.config.kind == "episodes":
        return _evaluate_episodes(evaluated, options)
    require_no_episode_options(evaluated, options)
    return _evaluate_classes(evaluated, options)


def _evaluate_classes(run: Run, options: Namespace) -> int:
    from peerdistill import runs

    evaluator = runs.evaluator_of(run, options.split, options.device)

    def evaluate(checkpoint: Which) -> dict[str, Any]:
        return {"checkpoint": checkpoint, "split": evaluator.split, **evaluator(checkpoint).as_dict()}

    if options.json:
        print_json(evaluate(options.checkpoint))
    else:
        console().print(tables.evaluations([evaluate(checkpoint) for checkpoint in _shown(run, options.checkpoint)]))
    return 0


def _evaluate_episodes(run: Run, options: Namespace) -> int:
    from peerdistill import runs

    episodes = chosen_episodes(run, options)
    task = runs.few_shot_task(run)
    split = runs.chosen_split(run, task.data, options.split)

    def evaluate(checkpoint: Which) -> list[dict[str, Any]]:
        about = {"checkpoint": checkpoint, "split": split}
        found = runs.evaluate_episodes(run, episodes, checkpoint, split, options.device, task=task)
        return [{**about, **result.evaluation().as_dict()} for result in found]

    if options.json:
        about = {"checkpoint": options.checkpoint, "split": split}
        columns = [
            {name: value for name, value in column.items() if name not in about}
            for column in evaluate(options.checkpoint)
        ]
        print_json({**about, **as_json(columns, options)})
    elif is_paper(options) or "best" not in run.saved:
        console().print(tables.episodes(evaluate(options.checkpoint)))
    else:
        console().print(tables.evaluations([evaluate(checkpoint)[0] for checkpoint in _shown(run, options.checkpoint)]))
    return 0


def _shown(run: Run, checkpoint: Which) -> list[Which]:
    """Return the checkpoint that was chosen and the other one, if it exists."""
    return [checkpoint, *(other for other in run.saved if other != checkpoint)]
