"""The report as one HTML file, which loads nothing: style, script, charts' library, data and pictures are inside.

Charts are drawn by plotly.js, its cartesian bundle. Vega-Lite, the other candidate, is smaller (0.8 MB instead of
1.5 MB) and labels its marks for screen readers, but its expressions are compiled by ``new Function``, which a strict
content security policy forbids unless an interpreter replaces the compiler, and a hover text for all lines at one epoch
would be our own code. Neither can be used with the keyboard. So every chart has a table with the same numbers.
"""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from peerdistill.errors import printable
from peerdistill.study.report.content import Content

PLOTLY = "plotly-cartesian-4.1.1.min.js"
"""File in ``vendor/``: the npm package ``plotly.js-cartesian-dist-min`` of this version, unchanged."""

# Characters that end a script or are line ends in JavaScript, as escapes of JSON strings.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page(content: Content) -> str:
    """Return the HTML of a report."""
    style, script = (_resource("templates", name) for name in ("style.css", "script.js"))
    plotly = _resource("vendor", PLOTLY)
    data = {
        "charts": {id: chart.as_dict() for id, chart in content.charts.items()},
        "pictures": content.pictures,
    }
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            content=content,
            # plotly adds an empty style element and fills it by rules.
            policy=policy(scripts=(plotly, script), styles=(style, "")),
            style=Markup(style),
            script=Markup(script),
            plotly=Markup(plotly),
            data=Markup(script_json(data)),
        )
    )


def policy(scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    """Return a content security policy that allows these scripts and styles, and pictures inside the file."""
    allowed = {
        "script-src": " ".join(map(_hash, scripts)),
        "style-src": " ".join(map(_hash, styles)),
        "img-src": "data: blob:",  # blob: a chart that is saved as a picture
    }
    rules = [f"{name} {value}" for name, value in allowed.items()]
    return "; ".join(["default-src 'none'", *rules, "base-uri 'none'", "form-action 'none'"])


def script_json(value: Any) -> str:
    """Return a value as JSON that can stand in a ``script`` element, with control characters of its text escaped.

    Example:
        >>> script_json({"name": "</script>"})
        '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(_printable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): _printable(one) for key, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list | tuple) else value


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _resource(folder: str, name: str) -> str:
    return files("peerdistill.study.report").joinpath(folder, name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("peerdistill.study.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_finalize,
    )
    environment.filters["cell"] = _cell
    return environment


def _finalize(value: Any) -> Any:
    """Escape control characters of everything that a template prints."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(value: Any) -> Any:
    """Return a value of a table: numbers with two digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else value
