"""The README's Python and shell blocks run as they stand. Blocks marked ``console`` are transcripts, not run."""

import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from peerdistill.training import Checkpoints, MetricsFile, ScheduleConfig, Trainer, TrainingConfig
from peerdistill.training.config import OptimizerConfig

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
    said = run(["bash", "-euc", "\n".join(blocks("bash")).replace("--epochs 30", "--epochs 1")], folder)
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


class OneOrder:
    """The batches of the README's loop, as the trainer asks for them."""

    steps_per_epoch = 2

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def epoch(self, epoch, start=0):
        for indices in torch.randperm(32).split(16)[start:]:
            yield SimpleNamespace(images=self.images[indices], labels=self.labels[indices], indices=indices)


def test_the_loop_distils_okddip_as_the_trainer_does(tmp_path):
    (block,) = blocks("python")
    loop = block.replace("mcl_okd", "okddip").replace("128", "32").replace("split(32)", "split(16)")
    loop = loop.replace("3, 32, 32)", "3, 8, 8, dtype=torch.float64)").replace(
        "train_labels=labels", "train_labels=labels, ramp=2"
    )
    # The same start and the same draws on both ways: only what the two loops do with them can differ.
    at_start = {}
    loop = loop.replace("for epoch in", "begin(cohort, method)\nfor epoch in")

    def begin(cohort, method):
        cohort.double(), method.double()  # or rounding would tell the two apart
        at_start.update(cohort=deepcopy(cohort), method=deepcopy(method))
        torch.manual_seed(1)

    torch.manual_seed(0)
    names: dict = {"begin": begin}
    exec(loop, names)

    constant = ScheduleConfig(name="constant")
    trainer = Trainer(
        at_start["cohort"],
        at_start["method"],
        OneOrder(names["images"], names["labels"]),
        validation=None,
        config=TrainingConfig(2, 16, 0.05, optimizer=OptimizerConfig("sgd", 0.9, False, 0.0), schedule=constant),
        fabric=Fabric(accelerator="cpu", devices=1),
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        metrics=MetricsFile(tmp_path / "metrics.jsonl"),
    )
    torch.manual_seed(1)
    trainer.fit()
    for module, other in ((trainer.cohort, names["cohort"]), (trainer.method, names["method"])):
        torch.testing.assert_close(module.state_dict(), other.state_dict())
    assert names["loss"].parts["attention"].item() > 0
