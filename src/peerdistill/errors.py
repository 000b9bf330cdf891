"""What is told to the user, in one sentence each."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input. The message is one sentence: what was found, where, and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """


class Failure(RuntimeError):  # noqa: N818 (a name as the user reads it)
    """What stopped the work although the input was right: a full disk, a killed data worker. One sentence.

    The command line prints it without a traceback and exits with code 1.
    """


class Note(UserWarning):
    """Something the user should know that stops nothing. The command line prints its sentence alone."""


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Return the error for a ``name`` that is none of ``allowed``, the nearest names first."""
    allowed = list(allowed)
    near = get_close_matches(name, allowed, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(allowed)}"
    return UserError(f"unknown {kind} '{name}': {hint}")


def some_of(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in quotes, and how many more there are."""
    listed = [f"'{name}'" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(listed)} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))
