"""The options of the commands that train: from signatures, a recipe, files and the command line, in that order."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, Namespace

from peerdistill import methods
from peerdistill.config.config import CONFIG_FILE, SAYS_FEW_SHOT, Config
from peerdistill.config.kinds import COMMANDS
from peerdistill.config.parser import make_parser, option_names, parse_values, parse_words
from peerdistill.config.recipes import dotted, in_words, recipe, set_by_recipes
from peerdistill.config.yaml_file import read_options
from peerdistill.errors import UserError, shortened, unknown_name
from peerdistill.paths import user_path
from peerdistill.user_code import FORM

DEFAULT_METHOD = "mcl-okd"
_HELP = {"-h", "--help"}
_WITHOUT_OPTIONS = "baseline"  # a method that has none of its own


def parse(words: Sequence[str], command: str = "train") -> tuple[Config, Namespace]:
    """Return the configuration that the words of a command line give, and the flags that are no part of it.

    What comes later wins: defaults of the signatures, the recipe (chosen by the data, or by ``--recipe``), with
    ``--resume`` the configuration of the run, then each ``--config`` file and option in the order in which they stand.

    Args:
        words: ``[DATA] [--option value ...]``.
        command: "train" or "fewshot".

    Raises:
        UserError: For an unknown option, recipe or method, a broken file, or a value of the wrong kind.
    """
    words = _data_as_option(words)
    if "--resume" in words and (run := _last_value(words, "run")) is not None:
        words = [f"--config={_started_with(user_path(run, '--run'), _last_value(words, 'method'), command)}", *words]
    parts = list(_parts(words))
    first = _look_ahead(parts)
    method = first["method"] if first["method"] is not None else DEFAULT_METHOD
    parser = train_parser(method, command)
    kind = f"option of {command} with method {method}"
    card = methods.find(method)
    parser.set_defaults({"sharing": card.sharings[0], **card.cohort})
    if any(_HELP & set(part) for part in parts if not isinstance(part, _File)):
        _tell_recipes(parser, method, command)
    chosen = first["recipe"] if first["recipe"] is not None else COMMANDS[command].recipe_for(first["data"])
    parser.set_defaults(recipe(chosen, method, command))
    found = parser.get_defaults()
    for part in parts:
        if isinstance(part, _File):
            found = _parse_file(parser, part, kind, found)
        else:
            found = parse_words(parser, _with_values(part, parser), kind, found)
    flags = Namespace({name: found.pop(name) for name in (*_FLAGS, "run", "config", "recipe")})
    _check_values(found, parser.get_defaults())
    if flags.run is not None:
        flags.run = str(user_path(flags.run, "--run"))
    if found.data is None:
        raise UserError(f"{command} needs DATA: {COMMANDS[command].data}")
    return Config.from_values(vars(parser.instantiate(found))), flags


def read_config(path: Path) -> Config:
    """Return the configuration in a file, complete as a run wrote it or partial.

    The method may be one that is not known here, as where the module of the user's own method is elsewhere. Its own
    options are then as the file has them: a leader can be exported, nothing can be built of the method.

    Raises:
        UserError: Where it is missing or broken.
    """
    content = read_options(path)
    method = _word(content, "method", path)
    if method is not None and not methods.is_known(method):
        return _with_unknown_method(path, content)
    config, _ = parse([f"--config={path}"], _command_of(path))
    return config


def _with_unknown_method(path: Path, content: dict[Any, Any]) -> Config:
    parser = train_parser(_WITHOUT_OPTIONS, _command_of(path))
    groups = {name.partition(".")[0] for name in option_names(parser)}
    known = {name: value for name, value in content.items() if name in groups}
    values = dotted({**known, "method": _WITHOUT_OPTIONS})
    found = parse_values(parser, values, parser.get_defaults(), f" in {path}")
    for name in (*_FLAGS, "run", "config", "recipe"):
        found.pop(name)
    own = {name: value for name, value in content.items() if name not in groups}
    return replace(Config.from_values(vars(parser.instantiate(found))), method=content["method"], options=own)


def _command_of(path: Path) -> str:
    """Return the command that a complete configuration file is of."""
    return "fewshot" if SAYS_FEW_SHOT in read_options(path) else "train"


_FLAGS = {
    "resume": "Go on with the run in the folder --run.",
    "download": "Fetch data that have a name and are absent (not miniimagenet).",
    "skip_unreadable": "Leave out pictures that can't be read, and count them.",
    "json": "Print the result as JSON; progress goes to stderr.",
    "print_config": "Print the whole configuration, which --config takes, and train nothing.",
}
_NO_OPTIONS_OF_FILES = frozenset({"config", "print_config", "help"})


def train_parser(method: str = DEFAULT_METHOD, command: str = "train") -> ArgumentParser:
    """Return the parser of ``train`` or ``fewshot`` with the options of ``method``."""
    known = COMMANDS[command]
    parser = make_parser(command, usage="DATA [options]", description=f"{known.does} DATA: {known.data}.")
    parser.add_argument("--config", type=str, default=None, help="YAML file of options; those after it win.")
    parser.add_argument(
        "--recipe",
        type=str,
        default=None,
        help=f"{', '.join(known.recipe_files())} (default: by DATA); the defaults shown are those of the recipe.",
    )
    parser.add_argument("--run", type=str, default=None, help="Folder of the run (default: runs/DATA-METHOD-BACKBONE).")
    for name, text in _FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--method", type=str, default=method, help=f"{', '.join(methods.names())} or {FORM}.")
    parser.add_argument("--data", type=str | None, default=None, help=argparse.SUPPRESS)
    for group, no_options in known.options.items():
        parser.add_class_arguments(group, skip=set(no_options), fail_untyped=False)
    _add_method_options(parser, method)
    return parser


def _add_method_options(parser: ArgumentParser, method: str) -> None:
    """Add the method's keyword options.

    Not by the parser's own ``add_function_arguments``: to resolve the types of the other parameters it would import
    PyTorch.
    """
    documented = parse_docstring(methods.find(method).documentation).params
    help_of = {param.arg_name: param.description or "" for param in documented}
    group = parser.add_argument_group(f"Method {method}")
    taken = {name.partition(".")[0] for name in (*option_names(parser), "help")}
    for option in methods.options_of(method):
        if option.name in taken:
            raise UserError(f"{method} has an option '{option.name}', which is an option of every method: rename it")
        if isinstance(option.annotation, type) and is_dataclass(option.annotation):
            parser.add_class_arguments(option.annotation, option.name)
            parser.set_defaults(dotted({option.name: asdict(option.default)}))
        else:
            meaning = help_of.get(option.name, "")
            group.add_argument(f"--{option.name}", type=option.annotation, default=option.default, help=meaning)


def _tell_recipes(parser: ArgumentParser, method: str, command: str) -> None:
    """Let the help of every option that recipes set say to what; the parser shows what holds for the DATA given."""
    found = set_by_recipes(method, command)
    for action in parser._actions:
        said = in_words(found.get(action.dest, {}), parser.get_defaults().get(action.dest), command)
        if said:
            action.help = f"{str(action.help).rstrip('.')} ({said})"


def _with_values(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """Return the words with "true" after options of yes or no that stand alone: ``--pretrained``."""
    yes_or_no = {f"--{name}" for name, value in vars(parser.get_defaults()).items() if isinstance(value, bool)}
    yes_or_no -= {f"--{flag}" for flag in _FLAGS}
    return [
        f"{word}=true" if word in yes_or_no and (not after or after.startswith("-")) else word
        for word, after in pairwise([*words, ""])
    ]


def _check_values(found: Namespace, defaults: Namespace) -> None:
    """Raise UserError for an option that a file sets to null, which the parser takes for anything."""
    for name, value in found.items():
        if value is None and defaults.get(name) is not None:
            raise UserError(f"{name} needs a value, found null")


def _data_as_option(words: Sequence[str]) -> list[str]:
    """Let DATA be the first word, which the parser knows as an option: a configuration file may then hold it."""
    if words and not words[0].startswith("-"):
        return [*words[1:], f"--data={words[0]}"]
    return list(words)


@dataclass(frozen=True)
class _File:
    """A configuration file among the words of a command line."""

    path: Path
    options: Mapping[str, Any]
    """What it holds, by dotted names."""


def _parts(words: Sequence[str]) -> Iterator[_File | list[str]]:
    """Yield the words of a command line with each ``--config FILE`` read, in their order; words come last."""
    part: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != "--config":
            part.append(word)
            continue
        file = value if equals else next(rest, None)
        if file is None:
            raise UserError("--config needs a value")
        yield part
        path = user_path(file, "--config")
        yield _File(path, dotted(read_options(path)))
        part = []
    yield part


def _parse_file(parser: ArgumentParser, file: _File, kind: str, start: Namespace) -> Namespace:
    known = option_names(parser)
    for name in file.options:  # the parser's own complaint would not name the file
        if name not in known or name in _NO_OPTIONS_OF_FILES:
            raise unknown_name(f"{kind} in {file.path}", name, known, listed_by=f"{parser.prog} --help")
    return parse_values(parser, file.options, start, f" in {file.path}")


def _last_value(words: Sequence[str], option: str) -> str | None:
    """Return the value of the last ``--option value`` or ``--option=value`` among the words."""
    found = None
    for word, after in pairwise([*words, "-"]):
        name, equals, value = word.partition("=")
        if name == f"--{option}" and (equals or not after.startswith("-")):
            found = value if equals else after
    return found


def _look_ahead(parts: Sequence[_File | list[str]]) -> dict[str, str | None]:
    """Return what decides which options there are, and their defaults: data, method and recipe."""
    found: dict[str, str | None] = {}
    for name in ("data", "method", "recipe"):
        words = [word for part in parts if not isinstance(part, _File) for word in part]
        found[name] = _last_value(words, name)
        for file in reversed([part for part in parts if isinstance(part, _File)]):
            if found[name] is None:
                found[name] = _word(file.options, name, file.path)
    return found


def _word(content: Mapping[str, Any], name: str, file: Path) -> str | None:
    """Return a name out of a file, None where it is not there."""
    value = content.get(name)
    if not isinstance(value, str | None):
        raise UserError(f"{name} in {file} must be a word, found {shortened(value)}")
    return value


def _started_with(run: Path, method: str | None, command: str) -> Path:
    """Return the configuration file of the run to go on with; another method's options would not fit it."""
    file = run / CONFIG_FILE
    if not file.is_file():
        raise UserError(f"there is no run to resume in {run}: {CONFIG_FILE} is missing")
    if (started_by := _command_of(file)) != command:
        raise UserError(f"{run} was started by {started_by}: peerdistill {started_by} --resume goes on with it")
    before = read_options(file).get("method")
    if method not in (None, before):
        raise UserError(
            f"{run} was started with method {before}, found {method}: a resumed run keeps its configuration"
        )
    return file
