"""What all pictures have in common: colours, fonts and how a figure becomes a file. Importing it imports matplotlib."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from peerdistill.files import write_whole

# Colours of Okabe and Ito: colour-blind readers can tell them apart, and so can readers in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLE: dict[Any, Any] = {"font.size": 9, "figure.dpi": 150, "axes.spines.top": False, "axes.spines.right": False}
_FONT = "DejaVu Sans"  # comes with matplotlib
_OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
)
"""Fonts with the characters that the first one lacks, such as Chinese ones, on Linux, macOS and Windows."""


def font_families() -> list[str]:
    """Return the fonts of pictures: of a character, the first one that has it is used."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [_FONT, *(name for name in _OTHER_SCRIPTS if name in installed)]


@contextmanager
def style() -> Iterator[None]:
    """Draw with the fonts and sizes of all pictures."""
    with matplotlib.rc_context({**_STYLE, "font.family": font_families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # names in scripts that all fonts lack
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
