"""From DATA, as a user writes it, to a data source and its paths. Free of PyTorch: errors appear at once."""

import os
import pkgutil
import warnings
from dataclasses import fields
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from peerdistill.data.source import Source, Takes
from peerdistill.errors import PeerdistillWarning, UserError, shortened
from peerdistill.paths import absolute_path, user_path
from peerdistill.user_code import is_function_name

_ORDER = ("name", "files", "hub", "function", "path")
_WITH_PREFIX = ("files", "hub")


class SourceCatalog:
    """The data sources of a package: each module that holds ``SOURCE`` is one.

    DATA is resolved in this order: the name of a source, ``prefix:FILE,...`` or ``prefix:NAME``,
    ``package.module:function``, a path. A file or folder in the working directory therefore never takes the place of a
    name; ``./NAME`` is always a path.

    Args:
        package: Name of the package.

    Example:
        >>> SourceCatalog("peerdistill.data.sources").find("digits").recipe
        'digits'
    """

    def __init__(self, package: str):
        self._package = package

    @cached_property
    def all(self) -> dict[str, Source]:
        """The sources by name: those with a name first, then those that take files, functions and paths."""
        package = import_module(self._package)
        modules = [import_module(f"{self._package}.{file.name}") for file in pkgutil.iter_modules(package.__path__)]
        sources = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
        sources.sort(key=lambda source: (_ORDER.index(source.takes), source.name))
        return {source.name: source for source in sources}

    @property
    def forms(self) -> str:
        """What DATA can be, for error messages."""
        *first, last = (source.form for source in self.all.values())
        return f"{', '.join(first)} or {last}"

    @property
    def help(self) -> str:
        """What DATA can be, with a few words about each source."""
        parts = [one.form if one.takes == "path" else f"{one.form} ({one.help})" for one in self.all.values()]
        return f"{', '.join(parts[:-1])} or {parts[-1]}"

    def find(self, data: str) -> Source:
        """Return the source that ``data`` names. A path with a separator need not exist.

        Raises:
            UserError: ``data`` is empty, or is neither a name nor an existing path.
        """
        if not data.strip():
            raise UserError(f"the name of the data is empty: choose {self.forms}")
        source = self._source(data)
        if source.takes == "path" and not _has_separator(data) and not user_path(data, "data").exists():
            raise self._unknown(data)
        return source

    def takes(self, data: str) -> Takes:
        """Return what ``data`` looks like: a name, files, a function or a path. It need not exist."""
        return self._source(data).takes

    def of_pictures(self, data: str) -> bool:
        """Return whether the images of ``data`` are pictures that are resized. It need not exist."""
        return self._source(data).of_pictures

    def resizes(self, data: str) -> bool:
        """Return whether images of any size are resized: pictures, and those that a function returns."""
        return self.of_pictures(data) or self.takes(data) == "function"

    def recipe_for(self, data: str | None) -> str:
        """Return the name of the default recipe for ``data``; without data, that for folders.

        Raises:
            UserError: As :meth:`find`.
        """
        return (self._path_source if data is None else self.find(data)).recipe

    def check(self, config: Any) -> None:
        """Raise UserError if ``config.data`` does not exist, or an option does not apply to its source.

        Args:
            config: The data options.
        """
        source = self.find(config.data)
        for field in fields(config):
            owners = [one.form for one in self.all.values() if field.name in one.options]
            if owners and field.name not in source.options and getattr(config, field.name) != field.default:
                raise UserError(f"{field.name} applies only to {' and '.join(owners)}, found data '{config.data}'")
        if source.takes == "files":
            named_files("data", config.data)
        elif source.takes == "hub":
            hub_folder(config.data)
        elif source.takes == "path":
            self._check_path(config.data, source)

    def absolute(self, data: str) -> str:
        """Return ``data`` with absolute paths, so that it means the same in every folder."""
        source = self._source(data)
        if source.takes == "files":
            files = [name.strip() for name in data.removeprefix(f"{source.name}:").split(",")]
            return f"{source.name}:{','.join(str(absolute_path(file, 'data')) if file else '' for file in files)}"
        if source.takes == "hub" and (folder := hub_folder(data)) is not None:
            return f"{source.name}:{folder.absolute()}"
        if source.takes == "path" and data.strip() and (path := user_path(data, "data")).exists():
            return str(path.absolute())
        return data

    def missing_path(self, data: str) -> Path | None:
        """Return the first file or folder of ``data`` that does not exist; None if there is none."""
        source = self._source(data)
        if source.takes == "files":
            paths = named_files("data", data)
        elif source.takes == "hub":  # a name that looks like the path of a folder
            name = data.partition(":")[2]
            paths = [user_path(name, "data")] if Path(name).is_absolute() else []
        else:
            paths = [user_path(data, "data")] if source.takes == "path" else []
        return next((path for path in paths if not path.exists()), None)

    def title(self, data: str) -> str:
        """Return a short name for ``data``: that of the source, the function, or the first file or folder."""
        source = self._source(data)
        if source.takes == "name":
            return data
        if source.takes == "function":
            return data.partition(":")[2]
        return Path(data.split(",")[0].removeprefix(f"{source.name}:")).stem

    def warn_if_shadowed(self, data: str) -> None:
        """Warn if ``data`` is also the name of a folder here, which is not used."""
        if self._source(data).takes in ("name", "function") and Path(data).is_dir():
            path = f"{os.curdir}{os.sep}{data}"
            text = f"'{data}' is the name of a data source: to use the folder of that name, write {path}"
            warnings.warn(text, PeerdistillWarning, stacklevel=2)

    @property
    def _path_source(self) -> Source:
        return next(source for source in self.all.values() if source.takes == "path")

    def _source(self, data: str) -> Source:
        """Return the source for the form of ``data``, which need not exist."""
        prefix, colon, _ = data.partition(":")
        for source in self.all.values():
            if (source.takes == "name" and source.name == data) or (
                source.takes in _WITH_PREFIX and colon and source.name == prefix
            ):
                return source
        functions = (source for source in self.all.values() if source.takes == "function")
        return next(functions, self._path_source) if is_function_name(data) else self._path_source

    def _unknown(self, data: str) -> UserError:
        names = [source.name for source in self.all.values() if source.takes == "name"]
        near = get_close_matches(data, names, n=3, cutoff=0.6)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        shown = shortened(data)
        return UserError(f"unknown data '{shown}'{hint}: choose {self.forms} (there is no folder '{shown}' here)")

    def _check_path(self, data: str, source: Source) -> None:
        path = user_path(data, "data")
        if not path.exists():
            prefix = data.partition(":")[0]
            if prefix != data and prefix.isidentifier() and len(prefix) > 1:  # one letter: a drive of Windows
                raise UserError(f"unknown data '{shortened(data)}': choose {self.forms}")
            raise UserError(f"folder '{data}' does not exist")
        if not path.is_dir() and path.suffix not in source.suffixes:
            raise UserError(f"'{data}' is a file: {self._instead_of_file(path)}")

    def _instead_of_file(self, path: Path) -> str:
        """Return what to write for a file that was named without its prefix or option."""
        suffix = path.suffix.lower()
        ways = {
            ("npz", ".npz"): f"write npz:{path}",
            ("wds", ".tar"): f"write wds:{path}",
            ("hf", ".parquet"): f"write hf:{path.parent}, the folder of the file",
            ("folder", ".csv"): f"write FOLDER --labels {path} for a table of labels",
        }
        fitting = (text for (name, end), text in ways.items() if end == suffix and name in self.all)
        return next(fitting, f"choose {self.forms}")


def named_files(option: str, value: str, prefix: str | None = None) -> list[Path]:
    """Return the files that ``prefix:FILE,FILE,...`` names.

    Args:
        option: Name of the option, for error messages.
        value: Its value.
        prefix: The required prefix; None: any.

    Raises:
        UserError: The prefix is another one, or a name is empty.

    Example:
        >>> [file.name for file in named_files("data", "npz:a.npz,b.npz")]
        ['a.npz', 'b.npz']
    """
    found, _, listed = value.partition(":")
    names = [name.strip() for name in listed.split(",")]
    expected = found if prefix is None else prefix
    if found != expected or not all(names):
        raise UserError(f"{option} must be {expected}:FILE or {expected}:FILE,FILE,..., found '{value}'")
    return [user_path(name, option) for name in names]


def hub_folder(data: str) -> Path | None:
    """Return the local folder that ``prefix:NAME`` names; None if there is none, so that it is a name on the hub.

    Raises:
        UserError: The name is empty.
    """
    prefix, _, name = data.partition(":")
    if not name.strip():
        raise UserError(f"data must be {prefix}:NAME, found '{data}'")
    path = user_path(name, "data")
    return path if path.exists() else None


def _has_separator(data: str) -> bool:
    return any(separator in data for separator in (os.sep, os.altsep) if separator)
