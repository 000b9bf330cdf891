"""``peerdistill train`` and ``peerdistill fewshot``: read the configuration, train or resume, show the result."""

import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress

from jsonargparse import Namespace
from rich.console import Console

from peerdistill.cli import tables
from peerdistill.cli.printing import console, print_json
from peerdistill.config.budget import Budget, plannable
from peerdistill.config.command_line import parse
from peerdistill.config.config import Config
from peerdistill.config.kinds import Kind
from peerdistill.errors import Failure, PeerdistillWarning, UserError
from peerdistill.processes import is_restarted
from peerdistill.runs.run import Run


def run_training(words: list[str], kind: Kind) -> int:
    """Train, or resume a run, and return the exit code.

    Args:
        words: Words after the name of the command: ``DATA [options]``.
        kind: Kind of run: classes or episodes.
    """
    started = time.monotonic()
    config, flags = parse(words, kind)
    flags.budget = None if flags.budget is None else Budget.of(flags.budget, started)
    if flags.budget is not None and not flags.resume:
        if flags.print_config:
            raise UserError("print_config cannot be combined with budget: --dry_run shows the plan")
        config = plannable(config)
    config.check()
    _warn_of_unused(config, words)
    if flags.print_config:
        sys.stdout.write(config.as_yaml())
        return 0
    folder = config.default_run if flags.run is None else flags.run
    flags.resume = flags.resume or (is_restarted() and Run(folder).has_results)
    if not flags.resume:
        Run(folder).require_free()  # reported at once, before PyTorch is imported
    screen = console(stderr=flags.json)
    if flags.dry_run:
        return _dry_run(config, flags, screen)
    from peerdistill import runs, training

    try:
        result = runs.train(
            config,
            folder,
            resume=flags.resume,
            download=flags.download,
            skip_unreadable=flags.skip_unreadable,
            console=screen,
            budget=flags.budget,
        )
    except training.Interrupted as stop:
        if flags.budget and not Run(folder).has_results:  # while it was planned
            return stop.exit_code
        text = f"stopped; a checkpoint was written. Resume with: {_resume_command(kind.command, folder, flags)}"
        with suppress(OSError):  # the terminal may be what was closed
            screen.print(text, soft_wrap=True)
        return stop.exit_code
    except training.Diverged:
        raise
    except Failure as error:
        if not Run(folder).has_results:
            raise
        raise Failure(f"{error}; resume with: {_resume_command(kind.command, folder, flags)}") from error
    if flags.json:
        print_json({"run": str(folder), **result})
    else:
        screen.print(tables.result(result))
        next_command = shlex.join(["peerdistill", "export", folder, "--format", "onnx"])
        screen.print(f"written to {folder}; next: {next_command}", soft_wrap=True)
    return 0


def _warn_of_unused(config: Config, words: Sequence[str]) -> None:
    """Warn about options among the words of the command line that change nothing for these data."""
    given = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
    for name in sorted(given & config.data.unused):
        warnings.warn(f"--{name} changes nothing for data '{config.data.data}'", PeerdistillWarning, stacklevel=2)


def _dry_run(config: Config, flags: Namespace, screen: Console) -> int:
    if flags.resume:
        raise UserError("dry_run cannot be combined with resume: a run that is resumed keeps its configuration")
    from peerdistill import runs, training
    from peerdistill.cli import dry_run

    try:
        found = runs.dry_run(
            config, download=flags.download, skip_unreadable=flags.skip_unreadable, budget=flags.budget
        )
    except training.Interrupted as stop:
        return stop.exit_code
    if flags.json:
        print_json(found.as_dict())
    else:
        for table in dry_run.tables(found):
            screen.print(table)
    return 0


def _resume_command(command: str, folder: str, flags: Namespace) -> str:
    """Return the command that resumes the run; flags are not part of the run's configuration."""
    kept = ["--skip_unreadable"] if flags.skip_unreadable else []
    return shlex.join(["peerdistill", command, "--resume", "--run", folder, *kept])
