"""Compute what a training costs: parameters, multiply-adds, memory and time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from jsonargparse import ArgumentParser, Namespace

from peerdistill.cli import cost_tables
from peerdistill.cli.options import add_json
from peerdistill.cli.printing import console, print_json
from peerdistill.config.command_line import parse
from peerdistill.config.config import DEFAULT_KIND, Config
from peerdistill.config.kinds import KINDS, KindName
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import UserError
from peerdistill.ranges import Range
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.study.cost import Cost

HELP_ORDER = 75

Samples = Annotated[int, Range(least=2, most=10**9)]
Classes = Annotated[int, Range(least=2, most=10**7)]
Channels = Literal[1, 3]

_SIZES = ("samples", "classes", "channels")
_WITH_VALUE = (*_SIZES, "kind")
_FLAGS = ("no_measure", "json")
_DEFAULTS: Mapping[KindName, tuple[str, dict[str, int]]] = {
    "classes": ("cifar100", {"samples": 50_000, "classes": 100, "image_size": 32, "channels": 3}),
    "episodes": ("omniglot", {"samples": 82_240, "classes": 4_112, "image_size": 28, "channels": 1}),
}
"""Without DATA: the data whose recipe and sizes are used, by kind of run."""


def run(words: list[str]) -> int:
    """Run ``peerdistill cost [RUN | DATA] [options]``."""
    own, others = _divided(words)
    options = parse_words(_parser(), own, kind="option of cost")
    place = others[0] if others and not others[0].startswith("-") else None
    if place is not None and Run(place).exists:
        _require_no_options(options, others[1:])
        config = None
    else:
        config = _config(options, others, place)
    with console(stderr=True).status("counting" if options.no_measure else "counting and measuring"):
        values = _cost(place, config, options).as_dict()
    if options.json:
        print_json(values)
        return 0
    for table in cost_tables.tables(values):
        console().print(table)
    return 0


def _parser() -> ArgumentParser:
    description = (
        f"{__doc__} Of a run, or of the options of peerdistill train (or fewshot), which can all be given. "
        "Without RUN and DATA nothing is read: recipe and sizes are those of CIFAR-100 (fewshot: Omniglot) unless "
        "options say otherwise. With DATA, the data are read."
    )
    parser = make_parser("cost", "[RUN | DATA] [options] [options of train]", description)
    parser.add_argument("--samples", type=Samples | None, default=None, help="Without DATA: number of training images.")
    parser.add_argument("--classes", type=Classes | None, default=None, help="Without DATA: number of classes.")
    parser.add_argument(
        "--channels", type=Channels | None, default=None, help="Without DATA: 1 for grey images, 3 for RGB."
    )
    parser.add_argument("--kind", type=KindName, default=DEFAULT_KIND, help="classes (train) or episodes (fewshot).")
    parser.add_argument("--no_measure", action="store_true", help="Do not measure the time of a step on this machine.")
    add_json(parser)
    return parser


def _divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of this command's own options, and the others."""
    own: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if word in ("-h", "--help") or name.removeprefix("--") in _FLAGS:
            own.append(word)
        elif name.startswith("--") and name.removeprefix("--") in _WITH_VALUE:
            own += [word] if equals else [word, *(value for value in [next(rest, None)] if value is not None)]
        else:
            others.append(word)
    return own, others


def _require_no_options(options: Namespace, others: Sequence[str]) -> None:
    """Raise UserError for options that a run has already."""
    given = [f"--{name}" for name in _SIZES if options[name] is not None]
    given += ["--kind"] if options.kind != DEFAULT_KIND else []
    if unused := [*given, *others]:
        raise UserError(f"{unused[0]} cannot be combined with a run, whose configuration is used")


def _config(options: Namespace, words: Sequence[str], place: str | None) -> Config:
    """Return the configuration of the options of a command that trains."""
    if place is None:
        words = [_DEFAULTS[options.kind][0], *words]
    elif given := [name for name in _SIZES if options[name] is not None]:
        raise UserError(f"--{given[0]} cannot be combined with data, whose sizes are used: leave out {place}")
    config, _ = parse(words, KINDS[options.kind])
    config.check()
    return config


def _cost(place: str | None, config: Config | None, options: Namespace) -> "Cost":
    from peerdistill.study.cost import Sizes, cost, cost_of_run

    measure = not options.no_measure
    if config is None:
        assert place is not None
        return cost_of_run(Run(place), measure=measure)
    if place is not None:
        return cost(config, measure=measure)
    given = {name: options[name] for name in _SIZES if options[name] is not None}
    if "image_size" not in config.implied:
        given["image_size"] = config.data.image_size
    return cost(config, Sizes(**{**_DEFAULTS[options.kind][1], **given}), measure=measure)
