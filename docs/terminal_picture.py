"""Draw the output of a terminal as an SVG: ``python docs/terminal_picture.py WIDTH < output > picture.svg``.

Of consecutive epoch lines, only the first and the last are kept, so that the picture is short.
"""

import re
import sys

from rich.console import Console
from rich.text import Text

# The template of rich loads a web font; a picture in a README should load nothing.
_FORMAT = """<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#0d1117" width="{terminal_width}" height="{terminal_height}" rx="8"/>
<g transform="translate(9, 9)">{backgrounds}<g class="{unique_id}-matrix" xml:space="preserve">{matrix}</g></g>
</svg>
"""


def shortened(lines: list[str], kept: int = 3) -> list[str]:
    """Return the lines; of consecutive epoch lines, keep only the first and last ``kept``."""
    out: list[str] = []
    run: list[str] = []
    for line in [*lines, ""]:
        if re.match(r"epoch +\d+/", line):
            run.append(line)
            continue
        out += run if len(run) <= 2 * kept else [*run[:kept], "...", *run[-kept:]]
        run = []
        out.append(line)
    return out[:-1]


def main() -> None:
    width = int(sys.argv[1])
    console = Console(width=width, record=True, file=sys.stderr, force_terminal=True)
    for line in shortened(sys.stdin.read().splitlines()):
        console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis", crop=True)
    svg = console.export_svg(code_format=_FORMAT)
    # Without the window frame of rich, the computed height cuts off the last lines.
    height = re.search(r'height="([\d.]+)" rx', svg)[1]
    sys.stdout.write(svg.replace(f'{height}"', f'{float(height) + 30:.1f}"'))


if __name__ == "__main__":
    main()
