"""Which episodes ``evaluate`` and ``compare`` use for few-shot runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jsonargparse import Namespace

from peerdistill.cli.options import EPISODES
from peerdistill.errors import UserError
from peerdistill.fewshot.config import EpisodeSetConfig
from peerdistill.runs.run import Run


def chosen_episodes(run: Run, options: Namespace) -> tuple[EpisodeSetConfig, ...]:
    """Return the episodes given by the options; what they leave open is as in the run's own test episodes.

    Raises:
        UserError: If an option contradicts ``--protocol paper``.
    """
    from peerdistill import runs

    given = {name: options[name] for name in EPISODES if options[name] is not None}
    if is_paper(options):
        if given:
            raise UserError(f"--{next(iter(given))} cannot be combined with --protocol paper, which sets it")
        return runs.episode_sets(run, paper=True)
    (own,) = runs.episode_sets(run)
    return runs.episode_sets(run, replace(own, **given))


def require_no_episode_options(run: Run, options: Namespace) -> None:
    """Raise UserError if an option of few-shot runs was given for a run on classes."""
    used = [name for name in EPISODES if options[name] is not None]
    used += ["protocol"] if is_paper(options) else []
    if used:
        raise UserError(f"--{used[0]} applies to few-shot runs only; {run.path} was trained by peerdistill train")


def is_paper(options: Namespace) -> bool:
    """Return whether ``--protocol paper`` was given."""
    return options.protocol == "paper"


def as_json(columns: Sequence[dict[str, Any]], options: Namespace) -> dict[str, Any]:
    """Return the results in the form of ``--json``: one result, or the columns of ``--protocol paper``."""
    return {"protocol": options.protocol, "columns": columns} if is_paper(options) else columns[0]
