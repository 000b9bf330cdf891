"""Names of files and folders as users write them."""

from pathlib import Path

from peerdistill.errors import UserError, shortened


def user_path(name: str | Path, what: str = "the path") -> Path:
    """Return the path of a name that a user wrote, ``~`` and ``~user`` replaced.

    Args:
        name: The name.
        what: What it is the name of, for errors.

    Raises:
        UserError: For an empty name, one with a NUL character, or a home folder that is not known.
    """
    text = str(name)
    if not text.strip():
        raise UserError(f"{what} needs a name, found nothing")
    if "\0" in text:
        raise UserError(f"{what} holds a NUL character: '{shortened(text)}'")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        if Path(text).exists():  # it only looks like somebody's home
            return Path(text)
        home = text.partition("/")[0]
        raise UserError(f"{what} '{shortened(text)}' can't be found: the home folder of {home} is not known") from error


def absolute_path(name: str | Path, what: str = "the path") -> Path:
    """Return :func:`user_path` in a form that holds in any folder.

    Raises:
        UserError: As :func:`user_path`.
    """
    return user_path(name, what).absolute()
