import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from peerdistill.errors import printable
from peerdistill.study.report import write_report
from peerdistill.study.report.page import script_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def escaped(value):
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): escaped(one) for key, one in value.items()}
    return [escaped(one) for one in value] if isinstance(value, list) else value


@given(VALUES)
def test_data_are_read_as_written_and_cannot_end_their_element(value):
    text = script_json(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == escaped(value)


class Elements(HTMLParser):
    """The text of all script and style elements, and all addresses of a page."""

    def __init__(self):
        super().__init__()
        self.inside = None
        self.texts: list[tuple[str, str]] = []
        self.policy = ""
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "srcset") and value]
        self.ids += [values["id"]] if "id" in values else []
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        if tag in ("script", "style") and values.get("type") != "application/json":
            self.inside = tag
            self.texts.append((tag, ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] = (self.inside, self.texts[-1][1] + data)


def test_the_policy_allows_what_is_in_the_file_and_nothing_else(hostile, episodes_run, tmp_path):
    for run in (hostile, episodes_run):
        page = Elements()
        page.feed(write_report([run], tmp_path / "report.html").read_text(encoding="utf-8"))
        rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
        assert rules["default-src"] == "'none'"
        assert "connect-src" not in rules  # so default-src forbids it
        for tag, text in page.texts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in rules[f"{tag}-src"].split()
        assert not any("unsafe" in rule for rule in rules.values())
        assert all(address.startswith("#") for address in page.addresses)
        assert {address[1:] for address in page.addresses} <= set(page.ids)
        assert len(set(page.ids)) == len(page.ids)


def test_text_of_names_is_escaped(hostile, tmp_path):
    text = write_report([hostile], tmp_path / "report.html").read_text(encoding="utf-8")
    body = text[: text.index('<script type="application/json"')]
    assert "<img src=x" not in body
    assert html.escape("<b>bold</b> &lt; \\u202egnp.exe\\x1b[31m") in body
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", body)
