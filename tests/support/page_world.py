"""A working folder in which the commands and the code of every page run within seconds.

The folder has the files that pages mention. Training is shortened by further options, and data and weights that have to
be downloaded have small stand-ins. Everything else of a command runs as it is written.
"""

import contextlib
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from support.command_line import Outcome, run
from support.hub import write_network
from support.pages import ROOT, blocks, expanded
from support.photos import stripes, write_noise

STAND_INS = {"omniglot": "npz:characters.npz", "cifar100": "npz:small.npz"}
"""Data that has to be downloaded, and what the commands get instead."""

RUN = "a-run"
"""A run on photos, which is copied to what commands call their run."""
MINE = "timm:local-dir:nets/mine"
SHORT = ("--epochs=1", "--workers=0")
SHORT_PHOTOS = (
    "--epochs=4",
    "--workers=0",
    "--lr=0.05",
    "--min_scale=0.8",
    "--validation=0.3",
    "--image_size=16",
    "--peers=2",
)
SHORT_EPISODES = (
    *("--ways=2", "--queries=2", "--episodes=2", "--episodes_per_epoch=1"),
    *("--validation.ways=2", "--validation.episodes=2", "--test.ways=2", "--test.episodes=2"),
)
FURTHER = {
    "analyse": ("--split=val",),
    "cost": ("--no_measure",),
    "reproduce": ("--list",),
}
"""Options that shorten other commands."""

NOT_IN_TESTS = {
    "make": "tests/test_readme.py checks that the targets exist",
    "pip": "installs",
    "hf": "needs an account",
    "python": "serves until it is stopped",
    "torchrun": "tests/cli/test_devices.py trains in several processes",
    "peerdistill train photos --backbone resnet18 --devices": "tests/cli/test_devices.py trains in several processes",
    "peerdistill bench": "tests/cli/commands/test_bench.py runs it with the same options",
    "peerdistill train photos --budget": "trains for two hours; tests/cli/test_budget.py has shorter ones",
    "peerdistill train imagenet": "tests/runs/test_imagenet.py trains on small data of the same form",
    "peerdistill train hf:ILSVRC/imagenet-1k": "the same test",
    "peerdistill train wds:imagenet-shards": "the same test",
    ".venv/bin/pytest": "runs tests",
    ".venv/bin/pre-commit": "changes the checkout",
    "peerdistill reproduce beta.yaml": "its trials take half a minute; tests/test_studies_page.py reads the file",
}
"""Beginnings of commands that this test does not run, and why."""


def write_world(folder: Path) -> None:
    """Write pictures, tables, arrays, a network in hub layout, and runs."""
    for place, count in {"photos": 100, "pictures/a": 40, "more/b": 2}.items():
        for number in range(count):
            kind = (number % 7 == 0) ^ number % 2  # some are wrong, or no temperature would calibrate what learns them
            _picture(folder / place / ("lying", "standing")[kind] / f"{number}.jpg", number)
    pictures = folder / "pictures"
    rows = [f"{file.relative_to(pictures)},{file.parent.name}" for file in sorted(pictures.rglob("*.jpg"))]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))
    (folder / "weights.csv").write_text("class,weight\nlying,2\nstanding,1\n")
    (folder / "list.txt").write_text("photo.jpg\n")
    for name in ("photo.jpg", "digit.png", "new/1.png", "examples/cat/1.png", "examples/dog/1.png"):
        write_noise(folder / name)
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "small.npz", images=small, labels=np.arange(60) % 3, class_names=np.array(list("abc")))
    characters = random.integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    np.savez(
        folder / "characters.npz",
        images=characters,
        labels=np.arange(2000) % 100,
        class_names=np.arange(100).astype(str),
    )
    write_network(folder / "nets" / "mine", "test_resnet", size=16)
    with contextlib.chdir(folder):
        assert run(*shortened(["train", "photos", "--pretrained", "--peers", "2", "--run", RUN])).code == 0


def _picture(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stripes(number, 5 * (number % 2))).save(file)


def write_code(page: str, folder: Path) -> None:
    """Write the blocks of a page whose first line names a file, such as ``# mynets.py``, to this file."""
    files: dict[str, list[str]] = {}
    for block in [*blocks(page, "python"), *blocks(page, "yaml")]:
        if named := re.match(r"# (\w+\.(?:py|yaml))\n", block):
            files.setdefault(named[1], []).append(block)
    for name, parts in files.items():
        (folder / name).write_text("\n".join(parts))


def commands(page: str) -> list[str]:
    """Return the commands of a page in their order: all lines in bash blocks, those after ``$`` in console blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(bash|console)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [
        line.removeprefix("$ ")
        for language, block in found
        for line in block.splitlines()
        if line.strip() and (language == "bash" or line.startswith("$ "))
    ]


def shortened(words: Sequence[str]) -> list[str]:
    """Return the words of a command with stand-ins for data and weights, and with options that shorten it."""
    command, *rest = (STAND_INS.get(word, word) for word in words if word != "--download")
    return [command, *rest, *_shorter(command, rest)]


def _shorter(command: str, words: Sequence[str]) -> Sequence[str]:
    if "--resume" in words or command not in ("train", "fewshot"):
        return FURTHER.get(command, ())
    if command == "fewshot":
        return SHORT_EPISODES
    backbone = f"--backbone={MINE if '--pretrained' in words else 'resnet8'}"
    if words[0] == "digits":
        return [*SHORT, backbone, "--subset.per_class=8"]
    return [*(SHORT_PHOTOS if Path(words[0]).is_dir() else SHORT), backbone]


def run_command(line: str) -> Outcome | None:
    """Run a command of a page in the current folder; return None if it belongs to NOT_IN_TESTS."""
    if any(f"{line} ".startswith(f"{beginning} ") for beginning in NOT_IN_TESTS):
        return None
    program, *words = shlex.split(line, comments=True)
    assert program == "peerdistill", f"add {program!r} to NOT_IN_TESTS, with the reason"
    make_runs(words)
    words = shortened(expanded(words))
    if "--run" in words and "--resume" not in words:
        shutil.rmtree(words[words.index("--run") + 1], ignore_errors=True)  # a page may train into a folder twice
    return run(*words)


def make_runs(words: Sequence[str]) -> None:
    """Make the runs that a command names but no earlier command of its page has trained."""
    if words[0] in ("train", "fewshot", "reproduce"):
        return
    for word in words:
        named = Path(word.replace("*", "s0"))
        if named.parent == Path("runs") and not any(Path().glob(word)):
            shutil.copytree(RUN, named)
