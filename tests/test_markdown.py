from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from peerdistill.markdown import as_markdown


@pytest.mark.parametrize(
    "words",
    [
        "cat",
        "<b>x</b>",
        "<script>",
        "a_b_c",
        "*loud*",
        "`code`",
        "[to](http://x)",
        "![in](x.png)",
        "a|b",
        r"back\slash",
        "&lt;",
        "one\n# two",
    ],
)
def test_a_renderer_shows_it_as_it_is(words):
    shown = Shown()
    shown.feed(MarkdownIt().render(f"- classes: {as_markdown(words)}"))
    assert shown.text.strip() == f"classes: {' '.join(words.split())}"
    assert shown.elements == {"ul", "li"}


class Shown(HTMLParser):
    """The text of HTML, and its elements."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.text, self.elements = "", set()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)

    def handle_data(self, data):
        self.text += data
