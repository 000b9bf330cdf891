"""MkDocs hook: a page of the reference for each public room of the package, made from the names that it exports."""

import ast
from pathlib import Path

from mkdocs.structure.files import File

PACKAGE = Path(__file__).parents[1] / "src" / "peerdistill"
ROOMS = (
    "backbones",
    "methods",
    "terms",
    "contrast",
    "data",
    "fewshot",
    "training",
    "evaluation",
    "deploy",
    "runs",
    "config",
)


def on_config(config):
    """Put the pages into the navigation."""
    (place,) = [entry for entry in config.nav if "API" in entry]
    place["API"] = ["api/index.md", *(f"api/{room}.md" for room in ROOMS)]
    return config


def on_files(files, config):
    """Add the pages."""
    files.append(File.generated(config, "api/index.md", content=_index()))
    for room in ROOMS:
        content = _page(f"peerdistill.{room}", _exported(PACKAGE / room))
        files.append(File.generated(config, f"api/{room}.md", content=content))
    return files


def _exported(folder: Path) -> list[str]:
    """Return the names in ``__all__`` of a package, in its stub if it has one; else the public names of its files."""
    stub = folder / "__init__.pyi"
    for statement in _statements(stub if stub.exists() else folder / "__init__.py"):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    return [
        f"{file.stem}.{statement.name}"
        for file in sorted(folder.glob("[!_]*.py"))
        for statement in _statements(file)
        if isinstance(statement, ast.ClassDef | ast.FunctionDef) and not statement.name.startswith("_")
    ]


def _statements(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body


def _index() -> str:
    rooms = "\n".join(f"- [peerdistill.{room}]({room}.md)" for room in ROOMS)
    names = [name for name in _exported(PACKAGE) if name not in ROOMS]
    text = "The names that `import peerdistill as pdl` offers directly. These rooms have pages of their own:"
    return _page("peerdistill", names).replace("\n\n", f"\n\n{text}\n\n{rooms}\n\n", 1)


def _page(module: str, names: list[str]) -> str:
    return f"# {module}\n\n" + "\n".join(f"::: {module}.{name}\n" for name in names)
