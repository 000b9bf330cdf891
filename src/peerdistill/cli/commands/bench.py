"""Measure accuracy, latency and size of everything that a run can deploy."""

from typing import Annotated

from jsonargparse import Namespace

from peerdistill.cli import tables
from peerdistill.cli.options import add_checkpoint, add_json, add_places, add_run, file_option, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.deploy.what import NAMES, check_what
from peerdistill.ranges import Range
from peerdistill.runs.run import Run
from peerdistill.study.timing import Repeats

HELP_ORDER = 70

Threads = Annotated[int, Range(least=1, most=1024)]


def run(words: list[str]) -> int:
    """Run ``peerdistill bench RUN [options]``."""
    parser = make_parser("bench", "RUN [options]", str(__doc__))
    add_run(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--what",
        type=str | None,
        default=None,
        help=f"Networks to measure, separated by commas: {', '.join(NAMES)} (default: all that differ).",
    )
    parser.add_argument(
        "--repeats",
        type=Repeats,
        default=11,
        help="Timed bursts per form; the forms take turns.",
    )
    parser.add_argument("--threads", type=Threads, default=1, help="Threads of PyTorch and of onnxruntime.")
    parser.add_argument(
        "--picture",
        type=str | None,
        default=None,
        help="PNG file to write: accuracy against latency and size. An existing file is replaced.",
    )
    add_json(parser)
    add_places(parser)
    options = parse_words(parser, words, kind="option of bench")
    measured, picture = open_run(options), file_option(options, "picture", ".png")
    what = _networks(options, measured)
    from peerdistill.study.bench import bench

    with console(stderr=True).status("reading the run") as status:
        how = {"what": what, "repeats": options.repeats, "threads": options.threads, "tell": status.update}
        found = bench(measured, options.checkpoint, **how)
    values = found.as_dict()
    if options.json:
        print_json(values)
    else:
        console().print(tables.bench(values))
    if picture is not None:
        from peerdistill.study.bench_plot import plot_bench

        plot_bench(values, picture)
        if not options.json:
            console().print(f"wrote {picture}", soft_wrap=True)
    return 0


def _networks(options: Namespace, measured: Run) -> list[str]:
    """Return the networks given by ``--what``, each once."""
    if options.what is None:
        return []
    names = list(dict.fromkeys(name.strip() for name in options.what.split(",")))
    for name in names:
        check_what(name, measured.config.cohort.peers)
    return names
