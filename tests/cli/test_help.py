"""Help and errors are printed without importing anything slow; a command is one file."""

import json
import subprocess
import sys

import pytest

import peerdistill
from peerdistill.cli import commands, main

COMMANDS = tuple(commands.help_lines())
HEAVY = ("torch", "torchvision", "lightning_fabric", "sklearn", "onnx", "onnxruntime", "tensorboard", "matplotlib")

ASKED = (["--help"], ["--version"], *([command, "--help"] for command in COMMANDS))
WRONG = (
    "train digits --epoch 3",
    "train digits --lr 0",
    "train digits --method mcl-odk",
    "train digits --contrast.negatives shard",
    "train cifar",
    "train photos/2026",
    "train npz:",
    "train digits --test npz:test.npz",
    "train digits --run .",
    "fewshot omniglott",
    "evaluate runs/none",
)

# Runs each command line of a JSON list, and prints its outcome and the slow modules imported so far.
PROBE = """
import contextlib, io, json, sys
from peerdistill.cli import main
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    print(json.dumps({"words": words, "code": code, "out": out.getvalue(), "err": err.getvalue(), "heavy": heavy}))
"""


def in_a_new_process(command_lines: list[list[str]]) -> list[dict]:
    """Run the command lines one after the other; an import shows in its command line and in all later ones."""
    words = [sys.executable, "-c", PROBE, json.dumps(command_lines), json.dumps(HEAVY)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["words"] for answer in found] == command_lines
    return found


def test_help_imports_nothing_slow():
    for found in in_a_new_process(list(ASKED)):
        assert (found["code"], found["heavy"]) == (0, []), found["words"]
        assert found["out"], found["words"]


def test_errors_import_nothing_slow():
    for found in in_a_new_process([words.split() for words in WRONG]):
        assert (found["code"], found["heavy"]) == (2, []), found["words"]
        assert found["err"].startswith("peerdistill: "), found["words"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands_in_the_order_of_their_first_use(capsys, words):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: peerdistill COMMAND")
    places = [text.index(f"\n  {command} ") for command in ("demo", "train", "evaluate", "export", "predict")]
    assert places == sorted(places)


@pytest.fixture
def greet(tmp_path, monkeypatch):
    """A command that is one file, added to the package's path."""
    lines = '"""Greet a person."""', "def run(words):", "    print('hello', *words)", "    return len(words)"
    (tmp_path / "say_hello.py").write_text("\n".join(lines))
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    yield
    sys.modules.pop("peerdistill.cli.commands.say_hello", None)


def test_a_command_is_one_file(greet, capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.splitlines()[-3].split() == ["say-hello", "Greet", "a", "person"]
    assert main(["say-hello", "you", "two"]) == 2
    assert capsys.readouterr().out == "hello you two\n"
    assert main(["say-helo"]) == 2
    assert "did you mean say-hello" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_begins_with_its_usage_and_summary(capsys, command):
    assert main([command, "--help"]) == 0
    usage, _, summary, *_ = capsys.readouterr().out.splitlines()
    assert usage.startswith(f"usage: peerdistill {command} ")
    assert summary


def test_help_of_train_has_the_options_of_the_method(capsys):
    main(["train", "--method", "baseline", "--help"])
    assert "--beta" not in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"peerdistill {peerdistill.__version__}\n"
