"""Errors and warnings for the user, one sentence each."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

# Similarity (difflib) from which a name counts as a misspelling of another.
_NEAR = 0.68
_MOST_LISTED = 30
_LONGEST_VALUE = 80
_LONGEST_MESSAGE = 900
# C0 and C1 control characters, surrogates, and characters that change the text direction or break lines in terminals.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class UserError(ValueError):
    """Invalid input. The message says what was found, what is allowed and what to do.

    The command line prints the message without a traceback and exits with code 2. The message may contain file names
    and other outside input: characters that control a terminal or break the line are escaped, and long messages are
    shortened.

    Example:
        >>> from peerdistill import UserError
        >>> print(UserError("cannot read 'a\\nb'"))
        cannot read 'a\\nb'
    """

    def __init__(self, message: str = ""):
        text = printable(message)
        if len(text) > _LONGEST_MESSAGE:
            text = f"{text[: _LONGEST_MESSAGE // 2]} ... {text[-_LONGEST_MESSAGE // 3 :]}"
        super().__init__(text)


class Failure(RuntimeError):  # noqa: N818 (users see the name)
    """The input was valid but the work could not be finished, for example because the disk is full.

    The command line prints the message without a traceback and exits with code 1.
    """


class PeerdistillWarning(UserWarning):
    """A condition that the user should know about but that stops nothing. The command line prints only the message."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, listed_by: str | None = None) -> UserError:
    """Return the error for a ``name`` that is not among ``allowed``.

    Args:
        kind: What the name stands for, such as "backbone".
        name: The name found.
        allowed: All allowed names.
        listed_by: A command that lists the allowed names. Without it, the message lists them if none is similar.

    Example:
        >>> print(unknown_name("fruit", "aple", ["apple", "pear"]))
        unknown fruit 'aple': did you mean apple?
        >>> print(unknown_name("fruit", "kiwi", ["apple", "pear"]))
        unknown fruit 'kiwi': choose from apple, pear
    """
    allowed = list(allowed)
    near = _near(name, allowed)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif listed_by:
        hint = f"{listed_by} lists them"
    elif len(allowed) > _MOST_LISTED:
        hint = f"choose from {', '.join(allowed[:_MOST_LISTED])}, ... ({len(allowed)} in all)"
    else:
        hint = f"choose from {', '.join(allowed)}"
    return UserError(f"unknown {kind} '{shortened(name)}': {hint}")


def _near(name: str, allowed: Iterable[str]) -> list[str]:
    """Return the names that ``name`` may be a misspelling of, ignoring the dashes of options."""
    if len(name) > _LONGEST_VALUE:
        return []
    bare = {word.removeprefix("--"): word for word in allowed}
    return [bare[word] for word in get_close_matches(name.removeprefix("--"), bare, n=3, cutoff=_NEAR)]


@contextmanager
def reading(failure: str) -> Iterator[None]:
    """Convert any exception of a library that reads outside input to a UserError.

    Libraries may raise anything for unexpected input. Use this only around calls of a library: bugs in our own code
    must stay visible.

    Args:
        failure: Start of the message, such as "cannot read 'x.npz'".

    Raises:
        UserError: For every exception inside the context. A UserError is not changed.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{failure}: {cause(error)}") from error


def cause(error: BaseException) -> str:
    """Return the message of an exception in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    text = " ".join(str(error).split())
    return shortened(text, 300) or type(error).__name__


def shortened(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """Return a value as text of at most ``longest`` characters."""
    try:
        text = str(value)
    except ValueError:  # Python does not convert integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable(text: str) -> str:
    """Return ``text`` with control characters and non-UTF-8 bytes of file names escaped, for example as ``\\x1b``."""
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # Python represents a byte that is not UTF-8 as a surrogate
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape", "surrogatepass").decode()


def some_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in quotes and the number of the others.

    Example:
        >>> some_of(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    listed = [f"'{name}'" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(listed)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))
