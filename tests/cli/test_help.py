"""Help answers at once: nothing heavy is imported for it."""

import json
import subprocess
import sys

import pytest

import peerdistill
from peerdistill.cli import main

COMMANDS = ("demo", "train", "fewshot", "evaluate", "compare", "export", "bench-leader", "predict")
HEAVY = ("torch", "torchvision", "lightning_fabric", "sklearn", "onnx", "onnxruntime", "tensorboard", "matplotlib")

PROBE = """
import contextlib, io, json, sys
from peerdistill.cli import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    code = main(sys.argv[1:])
print(json.dumps({"code": code, "text": out.getvalue(), "modules": list(sys.modules)}))
"""


def in_a_new_process(*words: str) -> dict:
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)], ids=" ".join
)
def test_help_is_given_without_importing_anything_heavy(words):
    found = in_a_new_process(*words)
    assert found["code"] == 0
    assert found["text"]
    assert not set(HEAVY) & set(found["modules"])


@pytest.mark.parametrize(
    "words",
    [
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
    ],
)
def test_what_is_wrong_is_told_without_importing_anything_heavy(words):
    found = in_a_new_process(*words.split())
    assert found["code"] == 2
    assert not set(HEAVY) & set(found["modules"])


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_of_the_program_names_every_command(capsys, words):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: peerdistill COMMAND")
    for command in COMMANDS:
        assert f"\n  {command} " in text


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("demo", ["--run DIR"]),
        (
            "train",
            ["DATA", "--backbone", "--contrast.negatives", "--resume", "--checkpoint_every", "Weight of the contrast"],
        ),
        (
            "fewshot",
            ["DATA", "--ways", "--validation.ways", "--class_split", "--prototypical", "omniglot, miniimagenet"],
        ),
        ("compare", ["RUN RUN", "--ways", "--protocol", "--json"]),
        ("evaluate", ["RUN", "--checkpoint {last,best}", "--split {test,val}", "--json"]),
        ("export", ["RUN", "--format {safetensors,onnx,pt2}", "--int8", "--output", "--force"]),
        ("bench-leader", ["RUN", "--checkpoint {last,best}", "--repeats", "--json"]),
        ("predict", ["FILE_OR_RUN PICTURES...", "--top", "--json", "--support"]),
    ],
)
def test_help_of_a_command_tells_its_options(capsys, command, told):
    assert main([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: peerdistill {command} ")
    for option in told:
        assert option in text


def test_help_of_train_is_that_of_the_method(capsys):
    main(["train", "--method", "baseline", "--help"])
    assert "--beta" not in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"peerdistill {peerdistill.__version__}\n"
