"""The README's Python and shell blocks run as they stand. Blocks marked ``console`` are transcripts, not run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with ``photos/``: stripes that lie or stand."""
    random = np.random.default_rng(0)
    for name in ("lying", "standing"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 80, (24, 24, 3), dtype=np.uint8)
            pixels[:: 2 + number % 3] += 150
            pixels = pixels if name == "lying" else pixels.swapaxes(0, 1)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    bin_first = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=bin_first, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_blocks_run(folder):
    for block in blocks("python"):
        run([sys.executable, "-c", block + "\nassert leader(images[:2]).shape == (2, 10)"], folder)


def test_shell_blocks_run(folder):
    said = run(["bash", "-euc", "\n".join(blocks("bash")).replace("--epochs 30", "--epochs 2")], folder)
    assert "leader" in said
    assert (folder / "leader.onnx").is_file()
    assert (folder / "runs" / "photos" / "result.json").is_file()


def test_the_two_commands_and_the_pictures_exist():
    root = Path(__file__).parents[1]
    targets = re.findall(r"^(\w+):", (root / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"\$ make (\w+)", README)) <= set(targets)
    links = re.findall(r"\]\(([\w./-]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
