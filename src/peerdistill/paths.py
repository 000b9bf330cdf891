"""Paths that users write."""

from pathlib import Path

from peerdistill.errors import UserError, shortened


def user_path(name: str | Path, what: str = "the path") -> Path:
    """Return a path that a user wrote, with ``~`` and ``~user`` expanded.

    Args:
        name: The path.
        what: What it is the path of, for error messages.

    Raises:
        UserError: The path is empty, has a NUL character, or begins with an unknown home folder.

    Example:
        >>> user_path("photos").name
        'photos'
    """
    text = str(name)
    if not text.strip():
        raise UserError(f"{what} needs a path, found nothing")
    if "\0" in text:
        raise UserError(f"{what} has a NUL character: '{shortened(text)}'")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        if Path(text).exists():  # a file whose name begins with ~
            return Path(text)
        home = text.partition("/")[0]
        raise UserError(f"{what} '{shortened(text)}' can't be found: the home folder of {home} is unknown") from error


def absolute_path(name: str | Path, what: str = "the path") -> Path:
    """Return :func:`user_path` as an absolute path.

    Raises:
        UserError: As :func:`user_path`.
    """
    return user_path(name, what).absolute()
