"""What the pictures of analyses and studies have in common. Importing this file imports matplotlib."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peerdistill.errors import printable

_LONGEST_NAME = 40


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
