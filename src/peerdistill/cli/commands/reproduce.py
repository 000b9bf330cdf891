"""Train the runs of a study that are missing, and write its results."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from peerdistill.cli import study_tables
from peerdistill.cli.options import add_json
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.errors import UserError, unknown_name
from peerdistill.paths import user_path
from peerdistill.ranges import Range

if TYPE_CHECKING:
    from peerdistill.study.plan import Place, Study

HELP_ORDER = 55

Seeds: TypeAlias = Annotated[int, Range(least=1, most=1000)] | None
Jobs = Annotated[int, Range(least=1, most=1024)]
Devices = Annotated[int, Range(least=1, most=65536)]

_FILTERS = ("dataset", "setting", "network", "method")


def run(words: list[str]) -> int:
    """Run ``peerdistill reproduce STUDY [options]``."""
    options = parse_words(_parser(), words, kind="option of reproduce")
    from peerdistill.study.plan import load_study

    only = _only(options)
    study = load_study(options.study, scale=options.scale, seeds=options.seeds, only=only)
    places = _places(study, options)
    screen = console(stderr=options.json)
    if options.list:
        return _list(study, places, options, screen)
    return _reproduce(study, places, options, screen, shlex.join(["peerdistill", "reproduce", *words]))


def _parser() -> ArgumentParser:
    from peerdistill.study.plan import scale_names, study_names

    parser = make_parser("reproduce", "STUDY [options]", str(__doc__))
    parser.add_argument("study", type=str, help=f"{', '.join(study_names())} or a YAML file.")
    parser.add_argument(
        "--scale", type=str, default="full", help=f"How much the study is reduced: {', '.join(scale_names())}."
    )
    parser.add_argument("--seeds", type=Seeds, default=None, help="Number of seeds (default: as in the study).")
    parser.add_argument("--runs", type=str, default="runs", help="Folder of the runs. Studies can share it.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder of the results (default: results/STUDY-SCALE)."
    )
    parser.add_argument("--list", action="store_true", help="Only show the runs, how far they are and their time.")
    parser.add_argument("--no_train", action="store_true", help="Only write the results of the runs that are finished.")
    parser.add_argument("--jobs", type=Jobs, default=1, help="Number of trainings at a time, which share the cores.")
    parser.add_argument(
        "--devices", type=Devices, default=1, help="Number of devices of each training; --list estimates one."
    )
    for axis in _FILTERS:
        parser.add_argument(
            f"--{axis}",
            type=str,
            nargs="+",
            action="extend",
            default=None,
            help=f"Only cells with these labels of {axis}.",
        )
    parser.add_argument("--only", type=str, action="append", default=None, help="AXIS=LABEL: the same for any axis.")
    parser.add_argument("--data", type=str, action="append", default=None, help="NAME=DATA: where a data set is.")
    parser.add_argument("--test", type=str, action="append", default=None, help="NAME=DATA: where its test images are.")
    parser.add_argument("--root", type=str | None, default=None, help="Folder of built-in data sets.")
    parser.add_argument("--download", action="store_true", help="Download built-in data sets that are missing.")
    add_json(parser)
    return parser


def _reproduce(study: "Study", places: "Mapping[str, Place]", options: Namespace, screen: Console, command: str) -> int:
    from peerdistill.study.results.renderers import json, terminal
    from peerdistill.study.runner.reproduce import Reproduction
    from peerdistill.training.interrupts import Interrupted

    runs, out = _folders(study, options)
    how = {"jobs": options.jobs, "devices": options.devices, "download": options.download, "console": screen}
    reproduction = Reproduction(study, places, runs=runs, out=out, **how)
    try:
        table = reproduction.collect() if options.no_train else reproduction.run()
    except Interrupted as stop:
        with suppress(OSError):  # the terminal may be what was closed
            screen.print(f"stopped; checkpoints were written. Continue with: {command}", soft_wrap=True)
        return stop.exit_code
    cells = reproduction.results()
    if options.json:
        about = {"study": study.name, "scale": study.scale.name, "runs": str(runs), "out": str(out)}
        print_json({**about, "cells": [cell.as_dict() for cell in cells], "table": json.values(table)})
    else:
        screen.print(terminal.render(table))
        screen.print(study_tables.outcome(cells, out), soft_wrap=True)
    return 1 if any(cell.status == "failed" for cell in cells) else 0


def _list(study: "Study", places: "Mapping[str, Place]", options: Namespace, screen: Console) -> int:
    from peerdistill.study.record import Record
    from peerdistill.study.runner.folders import Folders
    from peerdistill.study.runner.job import threads_of
    from peerdistill.study.runner.listing import listing
    from peerdistill.study.runner.trials import Trials

    runs, out = _folders(study, options)
    folders = Folders(runs, places)
    trials = Trials(folders, threads_of(options.jobs))
    with console(stderr=True).status("reading the study") as status:
        how = {"jobs": options.jobs, "tell": status.update}
        found = listing(study, folders, Record.read(out), trials, **how)
    if options.json:
        statement = {name: study.scale.statement(name) for name in study.datasets}
        print_json({"study": study.name, "scale": study.scale.name, "statement": statement, **found.as_dict()})
    else:
        screen.print(study_tables.listing(study, found))
        screen.print(study_tables.total(study, found), soft_wrap=True)
    return 0


def _folders(study: "Study", options: Namespace) -> tuple[Path, Path]:
    """Return the folders of the runs and of the results."""
    scale = "" if study.scale.name == "full" else f"-{study.scale.name}"
    out = f"results/{study.name}{scale}" if options.out is None else options.out
    return _folder(options.runs, "--runs"), _folder(out, "--out")


def _folder(word: str, option: str) -> Path:
    path = user_path(word, option)
    if path.exists() and not path.is_dir():
        raise UserError(f"{option} must name a folder, and {path} is a file")
    return path


def _only(options: Namespace) -> dict[str, list[str]]:
    """Return the chosen labels by axis."""
    found = {axis: list(options[axis]) for axis in _FILTERS if options[axis] is not None}
    for word in options.only or []:
        axis, equals, label = word.partition("=")
        if not equals:
            raise UserError(f"--only must be AXIS=LABEL, found {word}")
        found.setdefault(axis, []).append(label)
    return found


def _places(study: "Study", options: Namespace) -> "dict[str, Place]":
    """Return where the data are, by data set: as the options say, or else as the study does."""
    found = dict(study.datasets)
    if options.root is not None:
        root = str(user_path(options.root, "--root"))
        found = {name: replace(place, root=root) for name, place in found.items()}
    for option in ("data", "test"):
        for word in options[option] or []:
            name, place = _named(word, option, list(found), study.left_out)
            if name in found:
                found[name] = replace(found[name], **{option: place})
    return found


def _named(word: str, option: str, names: Sequence[str], left_out: Iterable[str]) -> tuple[str, str]:
    """Return the data set and the place in NAME=DATA; a study with one data set needs no NAME.

    The data set may be one that the chosen cells do not have: the same command with other cells has it.
    """
    name, equals, place = word.partition("=")
    same = [known for known in (*names, *left_out) if known.lower() == name.lower()]
    if equals and same:
        return same[0], place
    if len(names) == 1 and (not equals or ":" in name or "/" in name):
        return names[0], word
    if not equals:
        raise UserError(f"--{option} must be NAME=DATA, found {word}: NAME is one of {', '.join(names)}")
    raise unknown_name("data set", name, names)
