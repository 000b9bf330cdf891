"""Draw a terminal's output as an SVG: ``python docs/terminal_picture.py WIDTH < output > picture.svg``.

The middle of every run of epoch lines is left out, so that the picture fits a page.
"""

import re
import sys

from rich.console import Console
from rich.text import Text

# rich's own template fetches a web font; a picture in a README should fetch nothing.
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
    """Keep the first and last ``kept`` lines of every run of epoch lines."""
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
    # Without rich's own window frame its height leaves the last lines out.
    height = re.search(r'height="([\d.]+)" rx', svg)[1]
    sys.stdout.write(svg.replace(f'{height}"', f'{float(height) + 30:.1f}"'))


if __name__ == "__main__":
    main()
