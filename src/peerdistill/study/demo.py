"""The demonstration: the digits that ship with scikit-learn, from training to the deployed leader's predictions."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from peerdistill import deploy, experiment
from peerdistill.data import Dataset
from peerdistill.data.dataset import ArraySplit
from peerdistill.deploy import Prediction
from peerdistill.experiment import Run
from peerdistill.study.figures import plot_curves, plot_predictions
from peerdistill.training import MetricsFile

_SINGLE = ("digits", "--method", "baseline", "--peers", "1")
_PEERS = ("digits", "--method", "mcl-okd", "--peers", "4", "--sharing", "branch")
_SHEET = 40
_SHOWN = 5


def run_demo(folder: Path, console: Console) -> None:
    """Train one network alone and four peers by MCL-OKD with the same schedule, and deploy the leader.

    Args:
        folder: New or empty; runs, figures, pictures and the exported leader are written there.
        console: Told of every step.
    """
    started = time.perf_counter()
    console.rule("1  one network, trained alone")
    single = _train(_SINGLE, folder / "single", console)
    console.rule("2  four peers of the same network, trained together by MCL-OKD")
    peers = _train(_PEERS, folder / "mcl-okd", console)
    console.print(_side_by_side(single, peers))

    console.rule("3  the leader alone, exported")
    run = Run(folder / "mcl-okd")
    leader = _export(run, folder / "leader.onnx", console)

    console.rule("4  the exported leader classifies pictures")
    pictures, labels = _write_pictures(experiment.load_data(run), folder / "pictures")
    predictions = deploy.predict(leader, pictures, top=2)
    right = sum(found.classes[0] == label for found, label in zip(predictions, labels, strict=True))
    console.print(f"{right} of {len(predictions)} pictures right; the first {_SHOWN}:", highlight=False)
    console.print(_predictions(predictions, labels))
    _draw(folder, predictions, labels)

    names = ("curves.png", "predictions.png", "leader.onnx")
    console.print(f"done in {time.perf_counter() - started:.0f} s; look at:", highlight=False)
    for name in names:
        console.print(f"  {folder / name}", highlight=False, soft_wrap=True)


def _train(words: Sequence[str], folder: Path, console: Console) -> dict[str, Any]:
    config, _ = experiment.parse(words)
    return experiment.train(config, folder, console=console)


def _side_by_side(single: dict[str, Any], peers: dict[str, Any]) -> Table:
    table = Table("", "test accuracy", "parameters at inference", title="the same network, trained in two ways")
    size = f"{single['parameters']['leader']:,}"
    table.add_row("trained alone", f"{single['last']['test']['leader']['top1']:.2f} %", size)
    found = peers["last"]["test"]
    table.add_row("leader of four peers", f"{found['leader']['top1']:.2f} %", size, style="bold")
    whole = f"{peers['parameters']['cohort']:,}"
    table.add_row("ensemble of the four", f"{found['ensemble']['top1']:.2f} %", whole)
    return table


def _export(run: Run, output: Path, console: Console) -> Path:
    restored = experiment.restore(run)
    pictures, split = experiment.sample_pictures(run, count=128)
    report = deploy.export(restored.cohort.leader(), restored.card, output, format="onnx", pictures=pictures)
    console.print(
        f"wrote {report.path} ({report.bytes / 1e6:.2f} MB); on {report.samples} {split} pictures its logits are "
        f"within {report.largest_difference:.1g} of the leader's",
        highlight=False,
        soft_wrap=True,
    )
    return report.path


def _write_pictures(data: Dataset, folder: Path) -> tuple[list[Path], list[str]]:
    """Write test images as PNG files, as a user would have them; return them and their classes."""
    assert isinstance(data.test, ArraySplit)
    folder.mkdir()
    rows = torch.linspace(0, len(data.test) - 1, _SHEET).long()
    labels = [data.class_names[label] for label in data.test.labels[rows].tolist()]
    paths = [folder / f"test-{row:03}.png" for row in rows.tolist()]
    for path, image in zip(paths, data.test.images[rows, 0], strict=True):
        Image.fromarray(image.numpy()).save(path)
    return paths, labels


def _predictions(predictions: Sequence[Prediction], labels: Sequence[str]) -> Table:
    table = Table("picture", "is", "predicted")
    for found, label in list(zip(predictions, labels, strict=True))[:_SHOWN]:
        table.add_row(found.path.name, label, f"{found.classes[0]} ({found.probabilities[0]:.1%})")
    return table


def _draw(folder: Path, predictions: Sequence[Prediction], labels: Sequence[str]) -> None:
    single, peers = (MetricsFile(Run(folder / name).metrics_file).read() for name in ("single", "mcl-okd"))
    plot_curves(single, peers, folder / "curves.png")
    plot_predictions(predictions, labels, folder / "predictions.png")
