"""Measure size, accuracy and latency of a leader in PyTorch, ONNX and int8."""

from peerdistill.cli import tables
from peerdistill.cli.options import add_checkpoint, add_json, add_places, add_run, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.study.timing import Repeats

HELP_ORDER = 70


def run(words: list[str]) -> int:
    """Run ``peerdistill bench-leader RUN [options]``."""
    parser = make_parser("bench-leader", "RUN [options]", str(__doc__))
    add_run(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--repeats",
        type=Repeats,
        default=11,
        help="Timed bursts per form; the forms take turns.",
    )
    add_json(parser)
    add_places(parser)
    options = parse_words(parser, words, kind="option of bench-leader")
    measured = open_run(options)
    from peerdistill.study.leader_bench import bench_leader

    with console(stderr=True).status("reading the run") as status:
        found = bench_leader(measured, options.checkpoint, repeats=options.repeats, tell=status.update)
    if options.json:
        print_json(found.as_dict())
    else:
        console().print(tables.leader_bench(found.as_dict()))
    return 0
