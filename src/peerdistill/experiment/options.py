"""The options of the commands that train: from signatures, a recipe, files and the command line, in that order."""

import argparse
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from peerdistill import methods
from peerdistill.errors import UserError, unknown_name
from peerdistill.experiment.config import CONFIG_FILE, SAYS_FEW_SHOT, Config
from peerdistill.experiment.parsing import make_parser, option_names, parse_words
from peerdistill.experiment.training_commands import COMMANDS

DEFAULT_METHOD = "mcl-okd"
_METHOD_DEFAULTS = "methods"
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
    first = _look_ahead(words)
    if first.resume and first.run:
        words = [f"--config={_started_with(Path(first.run), first.method, command)}", *words]
        first = _look_ahead(words)
    method = first.method or DEFAULT_METHOD
    parser = train_parser(method, command)
    kind = f"option of {command} with method {method}"
    for file in first.config:
        _check_keys(Path(file), option_names(parser), kind)
    card = methods.find(method)
    parser.set_defaults({"sharing": card.settings[0], **card.cohort})
    parser.set_defaults(_recipe(first.recipe or COMMANDS[command].recipe_for(first.data), method, command))
    words = _with_values(words, parser)
    found = parse_words(parser, words, kind=kind)
    flags = Namespace({name: found.pop(name) for name in (*_FLAGS, "run", "config", "recipe")})
    _check_values(found, parser.get_defaults())
    if found.data is None:
        raise UserError(f"{command} needs DATA: {COMMANDS[command].data}")
    return Config.from_values(vars(parser.instantiate(found))), flags


def read_config(path: Path) -> Config:
    """Return the configuration in a file, complete as a run wrote it or partial.

    The method may be one that is not known here, as where a program of the user added it before training. Its own
    options are then as the file has them: a leader can be exported, nothing can be built of the method.

    Raises:
        UserError: Where it is missing or broken.
    """
    content = _read_yaml(path)
    method = _word(content, "method", str(path))
    if method not in (None, *methods.names()):
        return _with_unknown_method(path, content)
    config, _ = parse([f"--config={path}"], _command_of(path))
    return config


def _with_unknown_method(path: Path, content: dict[Any, Any]) -> Config:
    parser = train_parser(_WITHOUT_OPTIONS, _command_of(path))
    groups = {name.partition(".")[0] for name in option_names(parser)}
    known = {name: value for name, value in content.items() if name in groups}
    try:
        found = parser.parse_object({**known, "method": _WITHOUT_OPTIONS})
    except ArgumentError as error:
        raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    for name in (*_FLAGS, "run", "config", "recipe"):
        found.pop(name)
    own = {name: value for name, value in content.items() if name not in groups}
    return replace(Config.from_values(vars(parser.instantiate(found))), method=content["method"], options=own)


def _command_of(path: Path) -> str:
    """Return the command that a complete configuration file is of."""
    return "fewshot" if SAYS_FEW_SHOT in _read_yaml(path) else "train"


_FLAGS = {
    "resume": "Go on with the run in the folder --run.",
    "download": "Fetch data that have a name and are absent (not miniimagenet).",
    "skip_unreadable": "Leave out pictures that can't be read, and count them.",
    "json": "Print the result as JSON; progress goes to stderr.",
}


def train_parser(method: str = DEFAULT_METHOD, command: str = "train") -> ArgumentParser:
    """Return the parser of ``train`` or ``fewshot`` with the options of ``method``."""
    known = COMMANDS[command]
    parser = make_parser(command, usage="DATA [options]", description=f"{known.does} DATA: {known.data}.")
    parser.add_argument("--config", action="config", help="YAML file of options; those after it win.")
    parser.add_argument(
        "--recipe", type=str, default=None, help=f"{', '.join(known.recipe_files())} (default: by DATA)."
    )
    parser.add_argument("--run", type=str, default=None, help="Folder of the run (default: runs/DATA-METHOD-BACKBONE).")
    for name, text in _FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--method", type=str, default=method, help=f"{', '.join(methods.names())}.")
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
    help_of = {param.arg_name: param.description for param in documented}
    group = parser.add_argument_group(f"Method {method}")
    for option in methods.options_of(method):
        if isinstance(option.annotation, type) and is_dataclass(option.annotation):
            parser.add_class_arguments(option.annotation, option.name)
        else:
            group.add_argument(
                f"--{option.name}", type=option.annotation, default=option.default, help=help_of[option.name]
            )


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
        return [*words[1:], "--data", words[0]]
    return list(words)


def _look_ahead(words: Sequence[str]) -> argparse.Namespace:
    """Return what decides which options there are, and which files are read first."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    decisive = ("data", "method", "recipe")
    for name in (*decisive, "run"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--config", action="append", default=[])
    found, _ = parser.parse_known_args(words)
    for file in reversed(found.config):
        content = _read_yaml(Path(file))
        for name in decisive:
            if getattr(found, name) is None:
                setattr(found, name, _word(content, name, file))
    return found


def _word(content: dict[Any, Any], name: str, file: str) -> str | None:
    """Return a name out of a file, None where it is not there."""
    value = content.get(name)
    if not isinstance(value, str | None):
        raise UserError(f"{name} in {file} must be a word, found {value}")
    return value


def _started_with(run: Path, method: str | None, command: str) -> Path:
    """Return the configuration file of the run to go on with; another method's options would not fit it."""
    file = run / CONFIG_FILE
    if not file.is_file():
        raise UserError(f"there is no run to resume in {run}: {CONFIG_FILE} is missing")
    if (started_by := _command_of(file)) != command:
        raise UserError(f"{run} was started by {started_by}: peerdistill {started_by} --resume goes on with it")
    before = _read_yaml(file).get("method")
    if method not in (None, before):
        raise UserError(
            f"{run} was started with method {before}, found {method}: a resumed run keeps its configuration"
        )
    return file


def _check_keys(file: Path, options: Sequence[str], kind: str) -> None:
    """Raise UserError for a key that is no option: the parser's own complaint would not name the file."""
    for key in _dotted(_read_yaml(file)):
        if key not in options:
            raise unknown_name(f"{kind} in {file}", key, options)


def _read_yaml(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise UserError(f"there is no configuration file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where} is no valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise UserError(f"{path} must hold options as 'name: value', found {found}")
    return content


def _recipe(name: str, method: str, command: str) -> dict[str, Any]:
    """Return a recipe's values; those under ``methods`` only for the method they are written for."""
    files = COMMANDS[command].recipe_files()
    if name not in files:
        raise unknown_name("recipe", name, files)
    values = yaml.safe_load(files[name].read_text(encoding="utf-8"))
    values |= values.pop(_METHOD_DEFAULTS, {}).get(method, {})
    return _dotted(values)


def _dotted(values: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= _dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
