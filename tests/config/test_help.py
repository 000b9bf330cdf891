import json
import re
from typing import Annotated, Literal

import pytest

from peerdistill.cli import commands, main
from peerdistill.config.parser import make_parser
from peerdistill.ranges import Range

COMMANDS = tuple(commands.help_lines())


@pytest.fixture
def help_of(monkeypatch):
    """Return a function that returns the help of one option."""
    monkeypatch.setenv("COLUMNS", "200")

    def line(annotation, default=None, meaning="How it is done.", **more) -> str:
        parser = make_parser("try", "[options]", "Try it.")
        parser.add_argument("--how", type=annotation, default=default, help=meaning, **more)
        return parser.format_help().partition("--how")[2].strip()

    return line


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (str, None, "HOW  How it is done."),
        (str | None, "fast", "HOW  How it is done. (default: fast)"),
        (int, 3, "HOW  How it is done. [an integer] (default: 3)"),
        (float | None, None, "HOW  How it is done. [a number]"),
        (
            Annotated[int, Range(least=2, most=9)] | None,
            None,
            "HOW  How it is done. [an integer, at least 2 and at most 9]",
        ),
        (Literal["slow", "fast"], "slow", "{slow,fast}  How it is done. (default: slow)"),
        (Literal["slow", "fast"] | None, None, "HOW  How it is done. [slow or fast]"),
        (bool, False, "{true,false}  How it is done. (default: false)"),
        (list[int] | None, None, "HOW, --how+ HOW  How it is done. [a list in square brackets]"),
        (
            list[str],
            ["a", "b"],
            "[ITEM,...], --how+ [ITEM,...]  How it is done. [a list in square brackets] (default: [a,b])",
        ),
    ],
)
def test_an_option_says_what_it_takes_in_words(help_of, annotation, default, expected):
    assert " ".join(help_of(annotation, default).split()) == " ".join(expected.split())


def test_a_default_that_the_text_says_is_not_repeated(help_of):
    assert help_of(int, 3, "How it is done (default: by hand).").endswith("(default: by hand). [an integer]")


def test_flags_have_no_default():
    parser = make_parser("try", "[options]", "Try it.")
    parser.add_argument("--json", action="store_true", help="Print JSON, 100 % of it.")
    assert parser.format_help().rstrip().endswith("--json      Print JSON, 100 % of it.")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_no_python(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert not re.findall(r"type: |Optional|Literal|Union|Annotated|NoneType|\bnull\b|\bTrue\b|\bFalse\b|\bstr\b", text)
    assert all(line.count("(default: ") < 2 for line in text.splitlines())
    said = [line.split("  ")[-1].strip() for line in text.splitlines() if line.startswith("  --")]
    assert [line for line in said if line[:1].islower() and not line.startswith(("npz:", "hf:"))] == []


@pytest.mark.parametrize("group", ["contrast", "optimizer"])
def test_a_group_is_given_as_its_help_says(capsys, monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "1000")
    main(["train", "--help"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  --{group} ")]
    assert f"{{name: value, ...}}, without '{group}.'" in line
    value = {"contrast": {"count": 77}, "optimizer": {"momentum": 0.5}}[group]
    assert main(["train", "digits", f"--{group}", json.dumps(value), "--print_config"]) == 0
    (name, number), *_ = value.items()
    assert f"{name}: {number}\n" in capsys.readouterr().out
