"""What is told to the user, in one sentence each."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

# Difflib's measure. Below it a suggestion is another word rather than a misspelt one.
_NEAR = 0.68
_MOST_LISTED = 30
_LONGEST_VALUE = 80
_LONGEST_SENTENCE = 900
# C0 and C1 control characters, and what changes the direction of text or breaks a line in some terminals.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class UserError(ValueError):
    """Bad input. The message is one sentence: what was found, where, and what is allowed.

    The command line prints it without a traceback and exits with code 2. Names from outside may stand in it: what could
    control a terminal or break the line becomes an escape.
    """

    def __init__(self, sentence: str = ""):
        text = printable(sentence)
        if len(text) > _LONGEST_SENTENCE:
            text = f"{text[: _LONGEST_SENTENCE // 2]} ... {text[-_LONGEST_SENTENCE // 3 :]}"
        super().__init__(text)


class Failure(RuntimeError):  # noqa: N818 (a name as the user reads it)
    """What stopped the work although the input was right: a full disk, a killed data worker. One sentence.

    The command line prints it without a traceback and exits with code 1.
    """


class PeerdistillWarning(UserWarning):
    """Something the user should know that stops nothing. The command line prints its sentence alone."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, listed_by: str | None = None) -> UserError:
    """Return the error for a ``name`` that is none of ``allowed``.

    Args:
        kind: What it should be the name of.
        name: What was found.
        allowed: All names.
        listed_by: A command that lists them. Without it, they are listed here where none of them is near.
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
    """Return the names that ``name`` may be a misspelling of; the dashes of options say nothing."""
    if len(name) > _LONGEST_VALUE:
        return []
    bare = {word.removeprefix("--"): word for word in allowed}
    return [bare[word] for word in get_close_matches(name.removeprefix("--"), bare, n=3, cutoff=_NEAR)]


@contextmanager
def reading(failure: str) -> Iterator[None]:
    """Turn whatever a reader of outside input raises into one sentence.

    Libraries raise what they like for input that they did not expect. Put this around the call of the library, and
    nothing else: what our own code raises by mistake must stay visible.

    Args:
        failure: What the sentence starts with, such as "cannot read 'x.npz'".

    Raises:
        UserError: For every exception inside; one that is raised as such stays as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{failure}: {cause(error)}") from error


def cause(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    text = " ".join(str(error).split())
    return shortened(text, 300) or type(error).__name__


def shortened(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """Return a value as text that is no longer than a sentence can bear."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to write whole numbers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable(text: str) -> str:
    """Return ``text`` without anything that could control a terminal.

    Control characters become escapes such as ``\\x1b``, and so do the bytes of a file name that are not UTF-8.
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # how Python keeps a byte that is not UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape", "surrogatepass").decode()


def some_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in quotes, and how many more there are."""
    listed = [f"'{name}'" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(listed)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))
