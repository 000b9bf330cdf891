"""What the pictures of analyses and studies have in common. Importing this file imports matplotlib."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peerdistill.errors import printable
from peerdistill.files import write_whole

# Colours of Okabe and Ito: colour-blind readers can tell them apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLE: dict[Any, Any] = {"font.size": 9, "figure.dpi": 150, "axes.spines.top": False, "axes.spines.right": False}
_LONGEST_NAME = 40


@contextmanager
def style() -> Iterator[None]:
    """Draw with the fonts and sizes of all pictures."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in scripts that the font lacks
        yield


def write_png(draw: Callable[[], Figure], path: Path) -> None:
    """Write the figure that ``draw`` returns to a PNG file.

    Raises:
        WriteError: The file cannot be written.
    """
    content = io.BytesIO()
    with style():
        draw().savefig(content, format="png")
    write_whole(path, content.getvalue())


def panels(
    titles: Sequence[str], inches: tuple[float, float] = (4.0, 3.0), columns: int = 3
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel for each title, row by row.

    Args:
        titles: Titles of the panels.
        inches: Width and height of a panel.
        columns: Most panels in a row.
    """
    across = min(columns, len(titles))
    down = -(-len(titles) // across)
    figure = Figure(figsize=(inches[0] * across, inches[1] * down), layout="constrained")
    axes: list[Axes] = list(figure.subplots(down, across, squeeze=False).flat)
    for one in axes[len(titles) :]:
        one.axis("off")
    for one, title in zip(axes, titles, strict=False):
        one.set_title(title, fontsize=10, parse_math=False)
    return figure, axes[: len(titles)]


def short(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name that fits into a picture: of a long one the end, which tells runs apart."""
    text = printable(name)
    return text if len(text) <= longest else f"…{text[1 - longest :]}"
