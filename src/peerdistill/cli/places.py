"""Options of commands that read a run: where its data is now."""

from jsonargparse import ArgumentParser, Namespace

from peerdistill.runs.run import PLACES, Run

_MEANINGS = {
    "data": "Where the run's data is now, checked by content",
    "test": "The same of the test images of npz data.",
    "root": "The same of data that have a name, such as cifar100 or omniglot: the folder that holds them.",
}


def add_options(parser: ArgumentParser, *, others: bool = False) -> None:
    """Add ``--data``, ``--test`` and ``--root``.

    Args:
        parser: Of the command.
        others: Whether ``--data`` may be other images with the run's classes.
    """
    further = ", or other images with classes of the run" if others else ""
    for name in PLACES:
        text = f"{_MEANINGS[name]}{further}." if name == "data" else _MEANINGS[name]
        parser.add_argument(f"--{name}", type=str | None, default=None, help=text)


def open_run(options: Namespace) -> Run:
    """Return the run that the options name, with its data where they say.

    Raises:
        UserError: Where the folder holds no run.
    """
    run = Run(options.run, {name: options[name] for name in PLACES if options[name] is not None})
    run.require()
    return run
