"""The command line of the commands that train: words, configuration files and recipes to a configuration."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from docstring_parser import parse as parse_docstring
from docstring_parser import parse_from_object as parse_class_docstring
from jsonargparse import ArgumentParser, Namespace

from peerdistill import methods
from peerdistill.config.config import (
    CONFIG_FILE,
    DEFAULT_METHOD,
    IMAGES_FILE,
    TEST_IMAGES_FILE,
    Config,
    defaults_of,
    kind_of,
    options_of,
)
from peerdistill.config.kinds import CLASSES, NO_RECIPE, Kind
from peerdistill.config.parser import describe_groups, make_parser, option_names, parse_words
from peerdistill.config.recipes import in_words, set_by_recipes
from peerdistill.config.typed import checked, dotted, flattened, is_group, typed
from peerdistill.config.yaml_file import read_options
from peerdistill.errors import UserError, unknown_name
from peerdistill.paths import user_path
from peerdistill.training import loggers
from peerdistill.user_code import FORM

_HELP = {"-h", "--help"}
_FLAGS = {
    "resume": "Continue the run in the folder --run.",
    "download": "Download data sets that have a name and are missing (not miniimagenet).",
    "skip_unreadable": "Leave out and count pictures that cannot be read.",
    "json": "Print the result as JSON; progress goes to stderr.",
    "dry_run": "Print the data, network, memory and an estimate of the time from a few steps, and do not train.",
    "print_config": "Print the whole configuration, which --config accepts, and do not train.",
}
_OF_THE_COMMAND_LINE = (*_FLAGS, "run", "budget", "config", "recipe")
_NOT_IN_FILES = frozenset({"config", "print_config", "dry_run", "help"})


def parse(words: Sequence[str], kind: Kind = CLASSES) -> tuple[Config, Namespace]:
    """Return the configuration that the words of a command line give, and the flags that are not part of it.

    Later values win: defaults of the signatures, the recipe (chosen by the data or ``--recipe``), with ``--resume`` the
    configuration of the run, then each ``--config`` file and each option in the order in which they are given.

    Args:
        words: ``[DATA] [--option value ...]``.
        kind: Kind of run that the command trains.

    Raises:
        UserError: For an unknown option, recipe or method, a broken file, or a value of the wrong type.
    """
    words = _data_as_option(words)
    run = _last_value(words, "run") if "--resume" in words else None
    if run is not None:
        words = [f"--config={_resumed_config(user_path(run, '--run'), _last_value(words, 'method'), kind)}", *words]
    parts = list(_parts(words, kind))
    first = _look_ahead(parts)
    method = first["method"] if first["method"] is not None else DEFAULT_METHOD
    parser = train_parser(method, kind)
    if any(_HELP & set(part) for part in parts if not isinstance(part, _File)):
        _add_recipes_to_help(parser, method, kind)
    # A run has all options of its recipe, except those that a later version has added.
    recipe = NO_RECIPE if first["recipe"] is None and run is not None else first["recipe"]
    recipes = kind.recipes_for(first["data"], recipe, has_weights=_has_weights(parts))
    parser.set_defaults(defaults_of(kind, method, recipes))
    found = parser.get_defaults()
    what = f"option of {kind.command} with method {method}"
    for part in parts:
        if isinstance(part, _File):
            _add_file(found, part, parser, kind, what)
        else:
            found = parse_words(parser, _with_values(part, parser), what, found)
    flags = Namespace({name: found.pop(name) for name in _OF_THE_COMMAND_LINE})
    if flags.run is not None:
        flags.run = str(user_path(flags.run, "--run"))
    if found.data is None and flags.resume and flags.run is None:
        raise UserError("--resume needs --run FOLDER, the run to continue")
    if found.data is None:
        raise UserError(f"{kind.command} needs DATA: {kind.data}")
    chosen = _chosen(parts)
    implied = [name for name in options_of(kind, method) if not chosen & {name, name.partition(".")[0]}]
    return Config.from_dict({"kind": kind.name, **found.as_dict()}, implied=implied), flags


def read_config(path: Path) -> Config:
    """Return the configuration in the file of a run.

    Options that a later version has added have their defaults. The recipes of that version may have other values, with
    which the run was not started.

    Raises:
        UserError: The file is missing or broken, or as :meth:`Config.from_dict`.
    """
    return Config.from_dict({"recipe": NO_RECIPE, **_options_in(path)}, f" in {path}")


def train_parser(method: str = DEFAULT_METHOD, kind: Kind = CLASSES) -> ArgumentParser:
    """Return the parser of a command that trains, with the options of ``method``."""
    parser = make_parser(kind.command, usage="DATA [options]", description=f"{kind.does} DATA: {kind.data_help}.")
    parser.add_argument("--config", type=str, default=None, help="YAML file of options; later options override it.")
    parser.add_argument(
        "--recipe",
        type=str,
        default=None,
        help=f"One of {', '.join((*kind.recipe_files(), NO_RECIPE))} (default: chosen by DATA and pretrained "
        "weights). The defaults below are those of the recipe.",
    )
    parser.add_argument("--run", type=str, default=None, help="Run folder (default: runs/DATA-METHOD-BACKBONE).")
    parser.add_argument(
        "--budget",
        type=str | None,
        default=None,
        help="Time in which the run must end: 2h, 90m, 45s or 1h30m. Plans the epochs, and whether to train peers.",
    )
    for name, text in _FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--method", type=str, default=method, help=f"One of {', '.join(methods.names())} or {FORM}.")
    parser.add_argument("--data", type=str | None, default=None, help=argparse.SUPPRESS)
    for group, not_options in kind.options.items():
        parser.add_class_arguments(group, skip=set(not_options), fail_untyped=False)
        _name_nested_groups(parser, group)
    _add_method_options(parser, method)
    describe_groups(parser)
    for action in parser._actions:
        if action.dest == "loggers":
            action.help = f"{str(action.help).rstrip('.')}: {loggers.listed()}."
    return parser


def _name_nested_groups(parser: ArgumentParser, group: type) -> None:
    """Give nested groups of options the documentation of their field, if it has one, instead of that of their class."""
    nested = parser.groups or {}
    for field in parse_class_docstring(group).params:
        if field.arg_name in nested and field.description:
            nested[field.arg_name].title = field.description.rstrip(".")


def _add_method_options(parser: ArgumentParser, method: str) -> None:
    """Add the keyword options of the method.

    The parser's ``add_function_arguments`` would import PyTorch to resolve the types of the other parameters.
    """
    documented = parse_docstring(methods.find(method).documentation).params
    help_of = {param.arg_name: param.description or "" for param in documented}
    group = parser.add_argument_group(f"Method {method}")
    taken = {name.partition(".")[0] for name in (*option_names(parser), "help", "kind")}
    for option in methods.options_of(method):
        if option.name in taken:
            raise UserError(f"{method} has an option '{option.name}', which is an option of every method: rename it")
        if is_group(option.annotation):
            parser.add_class_arguments(option.annotation, option.name)
        else:
            meaning = help_of.get(option.name, "")
            group.add_argument(f"--{option.name}", type=option.annotation, default=option.default, help=meaning)


def _add_recipes_to_help(parser: ArgumentParser, method: str, kind: Kind) -> None:
    """Add the values of the recipes to the help of every option; the parser shows those for the given DATA."""
    found = set_by_recipes(method, kind)
    for action in parser._actions:
        values = in_words(found.get(action.dest, {}), parser.get_defaults().get(action.dest), kind)
        if values:
            action.help = f"{str(action.help).rstrip('.')} ({values})"


def _with_values(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """Return the words with "true" after boolean options without a value, such as ``--pretrained``."""
    booleans = {f"--{name}" for name, value in vars(parser.get_defaults()).items() if isinstance(value, bool)}
    booleans -= {f"--{flag}" for flag in _FLAGS}
    return [
        f"{word}=true" if word in booleans and (not after or after.startswith("-")) else word
        for word, after in pairwise([*words, ""])
    ]


def _data_as_option(words: Sequence[str]) -> list[str]:
    """Return the words with DATA, the first one, as an option: a configuration file may contain it instead."""
    if words and not words[0].startswith("-"):
        return [*words[1:], f"--data={words[0]}"]
    return list(words)


@dataclass(frozen=True)
class _File:
    """A configuration file among the words of a command line.

    Attributes:
        path: The file.
        options: What it contains.
    """

    path: Path
    options: Mapping[Any, Any]


def _parts(words: Sequence[str], kind: Kind) -> Iterator[_File | list[str]]:
    """Yield the words of a command line in order, with each ``--config FILE`` read; words come last."""
    part: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != "--config":
            part.append(word)
            continue
        file = value if equals else next(rest, None)
        if file is None or file.startswith("--"):
            raise UserError("--config needs a value: the name of a YAML file")
        yield part
        yield _read(user_path(file, "--config"), kind)
        part = []
    yield part


def _read(path: Path, kind: Kind) -> _File:
    """Return a configuration file of a kind of run.

    Raises:
        UserError: The file is broken, or configures another kind.
    """
    options = _options_in(path)
    found = kind_of({"kind": kind.name, **options}, f" in {path}")
    if found is not kind:
        raise UserError(f"{path} configures a run of kind {found.name}: use it with peerdistill {found.command}")
    return _File(path, {name: value for name, value in options.items() if name != "kind"})


def _options_in(path: Path) -> dict[Any, Any]:
    """Return the options in a file. The images of a run that keeps them are in the folder of its configuration."""
    options = dict(read_options(path))
    for name, file in (("data", IMAGES_FILE), ("test", TEST_IMAGES_FILE)):
        before, here = Path(str(options.get(name)).removeprefix("npz:")), path.absolute().parent / file
        if options.get(name) == f"npz:{before}" and before.name == file and here.exists() and not before.exists():
            options[name] = f"npz:{here}"
    return options


def _add_file(found: Namespace, file: _File, parser: ArgumentParser, kind: Kind, what: str) -> None:
    """Let the options in a file replace those in ``found``."""
    where = f" in {file.path}"
    types = options_of(kind, found.method)
    types |= {"run": str, "recipe": str, "budget": Any, **dict.fromkeys(_FLAGS.keys() - _NOT_IN_FILES, bool)}
    values = flattened(file.options, types, where)
    for name in values:
        if name not in types:
            raise unknown_name(f"{what}{where}", str(name), types, listed_by=f"{parser.prog} --help")
    for name, value in checked(values, types, where).items():
        found[name] = value


def _last_value(words: Sequence[str], option: str) -> str | None:
    """Return the value of the last ``--option value`` or ``--option=value`` among the words."""
    found = None
    for word, after in pairwise([*words, "-"]):
        name, equals, value = word.partition("=")
        if name == f"--{option}" and (equals or not after.startswith("-")):
            found = value if equals else after
    return found


def _look_ahead(parts: Sequence[_File | list[str]]) -> dict[str, str | None]:
    """Return the data, method and recipe, which determine the other options and their defaults."""
    found: dict[str, str | None] = {}
    for name in ("data", "method", "recipe"):
        words = [word for part in parts if not isinstance(part, _File) for word in part]
        found[name] = _last_value(words, name)
        for file in reversed([part for part in parts if isinstance(part, _File)]):
            if found[name] is None and name in file.options:
                found[name] = typed(file.options[name], str, f"{name} in {file.path}")
    return found


def _has_weights(parts: Sequence[_File | list[str]]) -> bool:
    """Tell whether the peers start from pretrained weights."""
    given: dict[str, Any] = {"pretrained": None, "weights": None}
    for part in parts:
        for name, before in given.items():
            if isinstance(part, _File):
                given[name] = part.options.get(name, before)
            elif any(word.partition("=")[0] == f"--{name}" for word in part):
                given[name] = _last_value(part, name) or True
    return any(str(value).lower() not in ("none", "null", "false") for value in given.values())


def _chosen(parts: Sequence[_File | list[str]]) -> set[str]:
    """Return the dotted names of the options, and the names of the groups, that words or files set."""
    chosen: set[str] = set()
    for part in parts:
        if isinstance(part, _File):
            chosen |= dotted(dict(part.options)).keys()
        else:
            chosen |= {word.removeprefix("--").partition("=")[0] for word in part if word.startswith("--")}
    return chosen


def _resumed_config(run: Path, method: str | None, kind: Kind) -> Path:
    """Return the configuration file of the run to resume, after a check that its method and kind are the given ones."""
    file = run / CONFIG_FILE
    if not file.is_file():
        raise UserError(f"there is no run to resume in {run}: {CONFIG_FILE} is missing")
    options = read_options(file)
    if (started_by := kind_of(options, f" in {file}")) is not kind:
        raise UserError(f"{run} was started by peerdistill {started_by.command}: resume it with that command")
    before = options.get("method")
    if method not in (None, before):
        raise UserError(
            f"{run} was started with method {before}, found {method}: a resumed run keeps its configuration"
        )
    return file
