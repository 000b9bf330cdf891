"""What runs are called side by side."""

from collections.abc import Sequence
from pathlib import Path


def distinguished(paths: Sequence[Path | str]) -> list[str]:
    """Return the shortest end of each path that no other path has.

    Example:
        >>> distinguished(["a/photos", "b/photos", "b/digits"])
        ['a/photos', 'b/photos', 'digits']
    """
    parts = [Path(path).absolute().parts for path in paths]

    def end(of: tuple[str, ...]) -> str:
        others = [other for other in parts if other is not of]
        lengths = range(1, len(of) + 1)
        length = next((n for n in lengths if all(other[-n:] != of[-n:] for other in others)), len(of))
        return Path(*of[-length:]).as_posix()

    return [end(of) for of in parts]
