"""The code of docs/cost.md runs, and the command prints what the page shows."""

from support.pages import blocks, run_line

(PYTHON,) = blocks("docs/cost.md", "python")
FIRST, *_ = (line.removeprefix("$ ") for line in blocks("docs/cost.md", "console")[0].splitlines())


def test_the_command_prints_the_page(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    outcome = run_line(FIRST)
    assert outcome.code == 0
    (shown,) = blocks("docs/cost.md", "text")
    assert [line.rstrip() for line in outcome.stdout.splitlines() if line.strip()] == [
        line for line in shown.splitlines() if line
    ]


def test_the_python_code_runs():
    exec(PYTHON, {})
