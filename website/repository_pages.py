"""MkDocs hook: files outside docs/ become pages, and links between all pages work on GitHub and on the site.

A page links to other files as on GitHub, by a relative path: `../README.md`, `../examples/own_loop.py`. MkDocs reads
only docs/, so this hook adds the files outside it as pages and translates the links to them. The files stay where
GitHub and Python expect them, there is one copy of each text, and a link that leads nowhere fails the build.
"""

import ast
import json
import logging
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
LOG = logging.getLogger("mkdocs.hooks")
CODE = r"^```.*?^```$|``[^\n]+?``|`[^`\n]+`"
CODE_OR_LINK = re.compile(CODE + r"|(?P<start>\]\()(?P<target>[^)\s#:]+)(?=[#)])", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FIXED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "citation.md",
}


def _pages() -> dict[str, str]:
    """Return the pages of the site by their file in the repository, for files outside docs/."""
    found = dict(FIXED)
    for file in sorted((ROOT / "examples").glob("*")):
        if file.suffix == ".md":
            found[f"examples/{file.name}"] = "examples/index.md"
        elif file.suffix in (".py", ".ipynb"):
            found[f"examples/{file.name}"] = f"examples/{file.stem}.md"
    return found


PAGES = _pages()
FILES = {page: file for file, page in PAGES.items()}


def on_config(config):
    """Put the examples into the navigation, below their list."""
    (section,) = [section for entry in config.nav for section in entry.values() if "examples/index.md" in section]
    place = section.index("examples/index.md")
    examples = [page for page in PAGES.values() if page.startswith("examples/") and page != section[place]]
    section[place] = {"Examples": [section[place], *examples]}
    return config


def on_files(files, config):
    """Add the pages of files outside docs/."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, content=_markdown(ROOT / file)))
    return files


def _markdown(file: Path) -> str:
    """Return a file as Markdown: a script below its docstring, a notebook cell by cell with its results."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        first, *rest = (ast.get_docstring(ast.parse(text)) or file.name).split("\n")
        code = text.split('"""', 2)[2].strip()
        prose = "\n".join(rest)
        return f"# {first.rstrip('.')}\n{prose}\n\nFile: `examples/{file.name}`\n\n```python\n{code}\n```\n"
    if file.suffix == ".ipynb":
        cells = "\n\n".join(_cell(cell) for cell in json.loads(text)["cells"])
        return f"{cells}\n\nFile: `examples/{file.name}`\n"
    return text if file.suffix == ".md" else f"# {file.name}\n\n```yaml\n{text}```\n"


def _cell(cell: dict) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    return "\n\n".join([f"```python\n{source}\n```", *(_output(output) for output in cell["outputs"])])


def _output(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="Result of the cell above" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return "```text\n" + "".join(output.get("text", data.get("text/plain", ""))).rstrip() + "\n```"


def on_page_markdown(markdown, page, **_):
    """Translate the links of a page from paths of the repository to pages of the site."""
    here = page.file.src_uri
    file = FILES.get(here, f"docs/{here}")

    def translate(match: re.Match) -> str:
        if match["start"] is None:
            return match[0]  # code
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), match["target"]))
        if target in PAGES:
            found = PAGES[target]
        elif target.startswith("docs/"):
            found = target.removeprefix("docs/")
        else:
            LOG.warning("%s links to %s, which is not a page: add it to website/repository_pages.py", file, target)
            return match[0]
        return "](" + posixpath.relpath(found, posixpath.dirname(here))

    return CODE_OR_LINK.sub(translate, COMMENT.sub("", markdown))  # comments hold templates of figures
