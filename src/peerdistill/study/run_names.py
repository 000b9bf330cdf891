"""What runs are called side by side."""

from collections.abc import Sequence
from pathlib import Path

from peerdistill.errors import UserError
from peerdistill.runs.run import Run


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


def check_different(runs: Sequence[Run]) -> None:
    """Raise UserError if two of the runs are the same folder, whatever their paths."""
    folders = [run.path.resolve() for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise UserError(f"the run {run.path} is named twice: name it once")
