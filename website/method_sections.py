"""MkDocs hook: docs/methods.md gets a section for each method, made from its card, its options and the measured cost.

The sections are written when the site is built, so they agree with the program. `peerdistill methods NAME` shows the
same facts in the terminal.
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from docstring_parser import parse

from peerdistill import methods

PLACE = re.compile(r"<!-- sections: .*<!-- /sections -->", re.DOTALL)  # GitHub shows what is in between
STEPS = Path(__file__).parents[1] / "docs" / "performance" / "methods.json"
WORDS = {"sum": r"\sum", "mean": r"\operatorname{mean}", "min": r"\min", "beta": r"\beta"}
SYMBOLS = {"->": r"\rightarrow ", "!=": r"\neq ", "<": r"\lt "}
FRACTION = re.compile(r"(\d+)/\(([^)]*)\)")
TOKEN = re.compile(r"(?P<name>[A-Za-z]+)(?:_(?:\{(?P<group>[^}]*)\}|(?P<below>\w+)))?|->|!=|\\frac\{\d+\}\{[^}]*\}|.")


def on_page_markdown(markdown, page, **_):
    """Put the sections into their place."""
    if page.file.src_uri != "methods.md":
        return markdown
    sections = "\n".join(_section(name) for name in methods.names())
    return PLACE.sub(lambda _: sections, markdown)


def _section(name: str) -> str:
    card = methods.find(name)
    documentation = parse(card.documentation)
    facts = {
        "paper": card.paper,
        "sharing": ", ".join(card.sharings),
        "trained besides the peers": card.trains,
        "ensemble": card.ensemble,
        "deployed": card.deployed,
        "differs from the paper": card.differs,
        "branches": card.branches,
        "cost of a step": _cost(name),
    }
    lines = [
        *(f"### {name}", "", documentation.short_description or "", "", f"Choose it if {card.choose}.", ""),
        *("```math", latex(card.loss), "```", "", "| | |", "| --- | --- |"),
        *(f"| {fact} | {_cell(text)} |" for fact, text in facts.items() if text not in ("", "-")),
    ]
    meanings = {param.arg_name: " ".join((param.description or "").split()) for param in documentation.params}
    options = [(option.name, option.default, meanings.get(option.name, "")) for option in methods.options_of(name)]
    if options:
        lines += ["", "| option | default | meaning |", "| --- | --- | --- |"]
        lines += [f"| `--{label}` | {_default(value)} | {_cell(text)} |" for label, value, text in options]
    return "\n".join([*lines, ""])


def _cost(name: str) -> str:
    """Return the measured time of a training step relative to a baseline with the same peers."""
    steps = json.loads(STEPS.read_text(encoding="utf-8"))["steps"]
    return ", ".join(
        f"{step['cost']:.2f} times the baseline's ({step['setting']}, {1000 * step['seconds']:.0f} ms)"
        for step in steps
        if step["method"] == name
    )


def _default(value: Any) -> str:
    """Return the default of an option, or the number of options of a group."""
    return (
        f"`{value}`"
        if isinstance(value, str | int | float)
        else f"{len(fields(value))} options, see `peerdistill methods NAME`"
    )


def _cell(text: str) -> str:
    """Return text for a cell of a table: file patterns are no emphasis."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")


def latex(loss: str) -> str:
    """Return the loss of a card, such as ``sum_{j != m} KL_T(z_j -> z_m)``, in LaTeX."""
    text = _latex(FRACTION.sub(r"\\frac{\1}{\2}", loss))
    return re.sub(r" \}\s*\\text\{ ", " ", text).replace(" } ,", "},")  # words that follow each other are one text


def _latex(text: str) -> str:
    return "".join(_token(token) for token in TOKEN.finditer(text))


def _token(token: re.Match) -> str:
    name = token["name"]
    if name is None:
        return SYMBOLS.get(token[0], token[0])
    below = _latex(token["group"]) if token["group"] else token["below"]
    if below and len(below) > 2 and token["below"]:
        below = rf"\text{{{below}}}"
    return WORDS.get(name, _word(name)) + (f"_{{{below}}}" if below else " ")


def _word(name: str) -> str:
    if len(name) == 1:
        return name
    return rf"\mathrm{{{name}}}" if name[0].isupper() else rf"\text{{ {name} }}"
