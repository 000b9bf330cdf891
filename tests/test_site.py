"""The documentation site builds without warnings, is complete without a network, and shows pages as GitHub does."""

import os
import re
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import peerdistill
from peerdistill import methods
from support.pages import ROOT, all_pages

OUTSIDE = {
    "README.md": "index.html",
    "CONTRIBUTING.md": "contributing.html",
    "CHANGELOG.md": "changelog.html",
    "examples/README.md": "examples/index.html",
}
BLOCKS = ("h2", "h3", "li", "ol", "pre", "table", "td", "tr", "ul")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make site` does."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Tags(HTMLParser):
    """The start tags of a page with their attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def place_of(page: str) -> str:
    """Return the place of a page on the site."""
    return OUTSIDE.get(page) or re.sub(r"(README|index)\.md$|\.md$", _ending, page).removeprefix("docs/")


def _ending(match: re.Match) -> str:
    return "index.html" if match[1] else ".html"


def test_nothing_is_loaded_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        for tag, attributes in Tags(page.read_text(encoding="utf-8")).found:
            loaded = [attributes.get("src"), attributes.get("srcset")]
            if tag == "link":
                loaded.append(attributes.get("href"))
            assert not [one for one in loaded if one and re.match(r"(https?:)?//", one)], (page, tag, attributes)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text), style


@pytest.mark.parametrize("page", all_pages())
def test_a_page_has_the_same_blocks_as_on_github(site, page):
    html = (site / place_of(page)).read_text(encoding="utf-8")
    article = html[html.index("<article") : html.index("</article>")]
    article = re.sub(r'<h3 id="baseline">.*?(?=<h2)', "", article, flags=re.DOTALL)
    here = Counter(tag for tag, _ in Tags(article).found if tag in BLOCKS)
    text = re.sub(r"<!--.*?-->", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    equations = len(re.findall(r"^```math$", text, flags=re.MULTILINE))
    assert article.count("<math ") == equations
    there = Counter(
        tag for tag, _ in Tags(MarkdownIt("commonmark").enable("table").render(text)).found if tag in BLOCKS
    )
    there["pre"] -= equations
    assert here == +there


@pytest.mark.parametrize("name", methods.names())
def test_the_equation_of_a_method_is_the_loss_of_its_card(site, name):
    html = (site / "methods.html").read_text(encoding="utf-8")
    (section,) = re.findall(rf'<h3 id="{name.replace("+", "")}">.*?(?=<h3|<h2)', html, flags=re.DOTALL)
    card = methods.find(name)
    shown = unescape(re.sub("<[^>]+>", "", section[section.index("<math") : section.index("</math>")]))
    for symbol, word in {"∑": "sum", "β": "beta", "→": "->", "≠": "!=", "−": "-"}.items():
        shown = shown.replace(symbol, word)
    written = card.loss.replace("1/(M-1)", "1M-1")
    assert re.sub(r"\s", "", shown) == re.sub(r"[\s_{}]", "", written)
    assert card.choose
    assert card.choose in unescape(section)
    assert all(f"<code>--{option.name}</code>" in section for option in card.options)
    assert "times the baseline" in section


@pytest.mark.parametrize("page", ["index.html", *(f"api/{room}.html" for room in ("backbones", "methods", "runs"))])
def test_what_a_page_of_the_site_links_to_exists(site, page):
    for tag, attributes in Tags((site / page).read_text(encoding="utf-8")).found:
        target = (attributes.get("href") or "").partition("#")[0]
        if tag == "a" and target and ":" not in target:
            assert ((site / page).parent / target).exists(), target


@pytest.mark.parametrize("room", ["backbones", "contrast", "deploy", "fewshot", "methods", "terms"])
def test_the_reference_has_every_exported_name(site, room):
    html = (site / f"api/{room}.html").read_text(encoding="utf-8")
    listed = re.findall(rf'id="peerdistill\.{room}\.(?:\w+\.)?(\w+)"', html)
    offered = getattr(peerdistill, room)
    assert {name for name in offered.__all__ if callable(getattr(offered, name))} <= set(listed)
