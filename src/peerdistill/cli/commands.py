"""One function for each command: from its words to its exit code."""

import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from jsonargparse import Namespace

from peerdistill.cli import episodes, exports, places, tables, tell
from peerdistill.cli.printing import console, print_json
from peerdistill.config.command_line import parse
from peerdistill.config.kinds import CLASSES, EPISODES, Kind
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import Failure, UserError
from peerdistill.paths import user_path
from peerdistill.ranges import Range
from peerdistill.runs.run import Run
from peerdistill.study.timing import Repeats

_Top = Annotated[int, Range(least=1, most=1_000_000)]

if TYPE_CHECKING:
    from peerdistill.deploy import Prediction


def train(words: list[str]) -> int:
    """``peerdistill train DATA [options]``."""
    return _train(words, CLASSES)


def fewshot(words: list[str]) -> int:
    """``peerdistill fewshot DATA [options]``."""
    return _train(words, EPISODES)


def _train(words: list[str], kind: Kind) -> int:
    config, flags = parse(words, kind)
    config.check()
    if flags.print_config:
        sys.stdout.write(config.as_yaml())
        return 0
    folder = config.default_run if flags.run is None else flags.run
    if not flags.resume:
        Run(folder).require_free()  # told at once, before PyTorch is imported
    screen = console(stderr=flags.json)
    from peerdistill import runs, training

    try:
        result = runs.train(
            config,
            folder,
            resume=flags.resume,
            download=flags.download,
            skip_unreadable=flags.skip_unreadable,
            console=screen,
        )
    except training.Interrupted as stop:
        text = f"stopped; a checkpoint was written. Go on with: {_resume_command(kind.command, folder, flags)}"
        with suppress(OSError):  # the terminal may be what has gone
            screen.print(text, soft_wrap=True)
        return stop.exit_code
    except training.Diverged:
        raise
    except Failure as error:
        if not Run(folder).has_results:
            raise
        raise Failure(f"{error}; go on with: {_resume_command(kind.command, folder, flags)}") from error
    if flags.json:
        print_json({"run": str(folder), **result})
    else:
        screen.print(tables.result(result))
        text = f"written to {folder}; next: {shlex.join(['peerdistill', 'export', folder, '--format', 'onnx'])}"
        screen.print(text, soft_wrap=True)
    return 0


def evaluate(words: list[str]) -> int:
    """``peerdistill evaluate RUN [options]``."""
    parser = make_parser("evaluate", "RUN [options]", "Accuracy of every peer, the leader and the ensemble of a run.")
    parser.add_argument("run", type=str, help="Folder of a run.")
    episodes.add_options(parser)
    places.add_options(parser, others=True)
    options = parse_words(parser, words, kind="option of evaluate")
    run = places.open_run(options)
    if run.config.episodes is not None:
        return episodes.evaluate(run, options)
    episodes.check_unused(run, options)
    measure = _measure_of(run, options)
    asked = measure(options.checkpoint)
    if options.json:
        print_json(asked)
        return 0
    other: Literal["last", "best"] = "best" if options.checkpoint == "last" else "last"
    beside = measure(other) if run.checkpoints.best.exists() else None
    console().print(tables.evaluations([asked] + ([beside] if beside else [])))
    return 0


def _measure_of(run: Run, options: Namespace) -> Callable[[Literal["last", "best"]], dict[str, Any]]:
    """Return what evaluates a checkpoint on the images that the options ask for."""
    from peerdistill import runs

    found = runs.images_of(run, options.split)
    if isinstance(found, runs.OtherImages):
        split = found.split
        evaluated = partial(runs.evaluate_on, run, found, device=options.device)
    else:
        split = runs.chosen_split(run, found.data, options.split)
        evaluated = partial(runs.evaluate_run, run, split=split, device=options.device, task=found)
    return lambda checkpoint: {
        "checkpoint": checkpoint,
        "split": split,
        **evaluated(which=checkpoint).as_dict(),
    }


def compare(words: list[str]) -> int:
    """``peerdistill compare RUN RUN [options]``."""
    parser = make_parser(
        "compare",
        "RUN RUN [options]",
        "Leaders of two few-shot runs in the same episodes, and their paired difference.",
    )
    parser.add_argument("first", type=str, help="Folder of a run.")
    parser.add_argument("second", type=str, help="Folder of a run; the difference is its accuracy minus the first's.")
    episodes.add_options(parser)
    options = parse_words(parser, words, kind="option of compare")
    return episodes.compare(_open(options.first), _open(options.second), options)


def export(words: list[str]) -> int:
    """``peerdistill export RUN --format FORMAT [--int8] [--output FILE]``."""
    parser = make_parser("export", "RUN --format FORMAT [options]", "Write the leader of a run as one file.")
    parser.add_argument("run", type=str, help="Folder of a run.")
    parser.add_argument("--format", type=str, default="onnx", help=exports.format_help())
    parser.add_argument("--int8", action="store_true", help="The same as --format int8.")
    parser.add_argument(
        "--output",
        type=str | None,
        default=None,
        help="File to write (default: RUN/leader[.int8].SUFFIX).",
    )
    parser.add_argument("--checkpoint", type=Literal["last", "best"], default="last", help="Epoch to export.")
    parser.add_argument("--force", action="store_true", help="Replace an existing file.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    places.add_options(parser)
    options = parse_words(parser, words, kind="option of export")
    format = exports.chosen_format(options)
    output = exports.destination(options, format)
    from peerdistill import runs

    run = places.open_run(options)
    restored = runs.restore(run, options.checkpoint)
    report, told = exports.write(run, restored, output, format, force=options.force)
    if options.json:
        print_json(report.as_dict())
        return 0
    console().print(
        f"wrote {report.path} ({report.bytes / 1e6:.2f} MB, {options.checkpoint} epoch {restored.epoch})\n{told}",
        soft_wrap=True,
    )
    return 0


def bench_leader(words: list[str]) -> int:
    """``peerdistill bench-leader RUN [options]``."""
    parser = make_parser(
        "bench-leader",
        "RUN [options]",
        "Size, accuracy on the test images and latency of a run's leader: PyTorch eager, ONNX and int8 ONNX.",
    )
    parser.add_argument("run", type=str, help="Folder of a run.")
    parser.add_argument("--checkpoint", type=Literal["last", "best"], default="last", help="Epoch to measure.")
    parser.add_argument(
        "--repeats",
        type=Repeats,
        default=11,
        help="Timed bursts of each form, in turns.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    places.add_options(parser)
    options = parse_words(parser, words, kind="option of bench-leader")
    run = places.open_run(options)
    from peerdistill.study.leader_bench import bench_leader

    with console(stderr=True).status("reading the run") as status:
        found = bench_leader(run, options.checkpoint, repeats=options.repeats, tell=status.update)
    if options.json:
        print_json(found.as_dict())
    else:
        console().print(tables.leader_bench(found.as_dict()))
    return 0


def predict(words: list[str]) -> int:
    """``peerdistill predict FILE_OR_RUN PICTURES... [options]``."""
    parser = make_parser("predict", "FILE_OR_RUN PICTURES... [options]", "Classify pictures.")
    parser.add_argument("model", type=str, help="An exported leader or a run folder.")
    parser.add_argument("pictures", type=str, nargs="+", help="Picture files.")
    parser.add_argument(
        "--format", type=str | None, default=None, help=f"{exports.format_help()} By default, the suffix decides."
    )
    parser.add_argument(
        "--support", type=str | None, default=None, help="For an encoder: folder of class folders with examples."
    )
    parser.add_argument("--top", type=_Top, default=3, help="Classes to name for each picture.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    options = parse_words(parser, words, kind="option of predict")
    unreadable: list[UserError] = []
    predictions = _predictions(options, unreadable)
    if options.json:
        print_json(
            [
                {"path": str(found.path), "classes": found.classes, "probabilities": found.probabilities}
                for found in predictions
            ]
        )
    elif predictions:
        console().print(tables.predictions(predictions), soft_wrap=True)
    for error in unreadable:
        tell(str(error))
    return 2 if unreadable else 0


def methods(words: list[str]) -> int:
    """``peerdistill methods [NAME]``."""
    parser = make_parser("methods", "[NAME]", "List the methods, or show one of them with its options.")
    parser.add_argument("name", type=str | None, nargs="?", default=None, help="One method to show.")
    options = parse_words(parser, words, kind="option of methods")
    shown = tables.methods() if options.name is None else tables.method(options.name)
    console().print(shown, soft_wrap=True)
    return 0


def demo(words: list[str]) -> int:
    """``peerdistill demo [--run DIR]``."""
    parser = make_parser("demo", "[--run DIR]", "Train, evaluate, export and predict on the digits of scikit-learn.")
    parser.add_argument("--run", type=str, default="runs/demo", help="Folder of the demo: new or empty.")
    options = parse_words(parser, words, kind="option of demo")
    Run(options.run).require_free()
    from peerdistill.study.demo import run_demo

    run_demo(user_path(options.run, "--run"), console())
    return 0


def _predictions(options: Namespace, unreadable: list[UserError]) -> "list[Prediction]":
    """Return the predictions for all pictures that can be read, and append what is wrong with the others."""
    model = user_path(options.model, "the model")
    pictures = [user_path(name, "a picture") for name in options.pictures]
    if not model.exists():
        raise UserError(f"there is no file and no run folder {model}")
    from peerdistill import deploy

    support = None if options.support is None else user_path(options.support, "--support")
    how = {"support": support, "top": options.top, "unreadable": unreadable.append}
    if not model.is_dir():
        return deploy.predict(model, pictures, format=options.format, **how)
    run = _open(options.model)
    from peerdistill import runs

    restored = runs.restore(run)
    return deploy.predict_with(runs.scorer_of(restored), restored.card, pictures, **how)


def _resume_command(command: str, folder: str, flags: Namespace) -> str:
    """Return the command that goes on; flags are no part of the run's configuration."""
    kept = ["--skip_unreadable"] if flags.skip_unreadable else []
    return shlex.join(["peerdistill", command, "--resume", "--run", folder, *kept])


def _open(folder: str) -> Run:
    run = Run(folder)
    run.require()
    return run
