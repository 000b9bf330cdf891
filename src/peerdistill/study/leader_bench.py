"""What a deployed leader costs in each form, and how well it answers.

Axes: B batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from peerdistill import deploy, runs
from peerdistill.cohort import CohortOutput
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.formats import FORMATS, Format
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.errors import UserError
from peerdistill.evaluation import Accuracy, Evaluation
from peerdistill.runs import Run
from peerdistill.runs.restore import Which
from peerdistill.runs.task import Task
from peerdistill.study.latency import latencies
from peerdistill.study.machine import describe_machine
from peerdistill.terms import MeanEnsemble

BATCHES = (1, 64)
"""Batch sizes that are timed."""

MAX_REPEATS = 10_000
"""Most timed bursts of each form: they take an hour or more."""

_COMPARED_PICTURES = 512
_VOTERS = ("peers", "leader", "ensemble")


@dataclass(frozen=True)
class Form:
    """A leader ready to answer.

    Attributes:
        score: From images in 0..1 to its output, numpy to numpy.
        bytes: Size of its file.
    """

    score: Scorer
    bytes: int


@dataclass(frozen=True)
class FormBench:
    """One form of a leader, measured.

    Attributes:
        bytes: Size of its file.
        accuracy: On test images or over test episodes; None where there are none.
        milliseconds: Median time of one call, by batch size.
    """

    bytes: int
    accuracy: Accuracy | None
    milliseconds: Mapping[int, float]

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        return {
            "bytes": self.bytes,
            "accuracy": None if self.accuracy is None else self.accuracy.as_dict(),
            "milliseconds": {str(batch): time for batch, time in self.milliseconds.items()},
        }


@dataclass(frozen=True)
class LeaderBench:
    """A run's leader in every form.

    Attributes:
        run: Folder of the run.
        checkpoint: "last" or "best".
        epoch: Of the checkpoint.
        repeats: Timed bursts of each form and batch size.
        machine: On what it was measured, see :func:`describe_machine`.
        test: How many test images there are, and of a few-shot run its episodes; None where there are no test images.
        forms: "pytorch" (eager; its file is the safetensors one), "onnx" (float32) and "int8".
    """

    run: str
    checkpoint: Which
    epoch: int
    repeats: int
    machine: Mapping[str, Any]
    test: Mapping[str, Any] | None
    forms: Mapping[str, FormBench]

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        return {**vars(self), "forms": {name: form.as_dict() for name, form in self.forms.items()}}


def bench_leader(run: Run, which: Which, *, repeats: int, tell: Callable[[str], object]) -> LeaderBench:
    """Return size, accuracy and latency of a run's leader in every form.

    All files are made anew in a temporary folder: those that lie in the run may be of another epoch.

    Args:
        run: The run; its data must still be there.
        which: The checkpoint, "last" or "best".
        repeats: Timed bursts of each form and batch size, from 1 to 10,000.
        tell: Told what is being done.

    Raises:
        UserError: Where run, checkpoint or data are not there, the data have changed, or ``repeats`` is out of range.
        ExportError: For a leader that has no ONNX or int8 form.
    """
    if not 1 <= repeats <= MAX_REPEATS:
        raise UserError(f"repeats must be from 1 to {MAX_REPEATS}, found {repeats}")
    restored = runs.restore(run, which)
    tell("reading the images")
    task = runs.load_task_of(run)
    calibration = runs.calibration_pictures(run, restored, task.data)
    compared, _ = runs.sample_pictures(run, _COMPARED_PICTURES, data=task.data)
    with TemporaryDirectory() as folder:
        tell("writing and checking the files")
        card = restored.card
        forms = make_forms(restored.leader(), card, Path(folder), calibration=calibration, pictures=compared)
        times = {}
        for batch in BATCHES:
            tell(f"timing, batch {batch}")
            times[batch] = form_latencies(forms, calibration, batch, repeats)
        found = {}
        for name, form in forms.items():
            tell(f"answering the test images: {name}")
            found[name] = _evaluation(form, card, task)
    tested = found["pytorch"]
    return LeaderBench(
        run=str(run.path),
        checkpoint=which,
        epoch=restored.epoch,
        repeats=repeats,
        machine=describe_machine(),
        test=tested and {name: value for name, value in tested.as_dict().items() if name not in _VOTERS},
        forms={
            name: FormBench(
                form.bytes,
                evaluation and evaluation.leader,
                {batch: 1000 * seconds[name] for batch, seconds in times.items()},
            )
            for (name, form), evaluation in zip(forms.items(), found.values(), strict=True)
        },
    )


def make_forms(
    leader: nn.Module,
    card: LeaderCard,
    folder: Path,
    *,
    calibration: UInt8[Tensor, "calibration channels height width"],
    pictures: UInt8[Tensor, "samples channels height width"],
) -> dict[str, Form]:
    """Return the leader in PyTorch and in every format that has its own runtime, all with PyTorch's number of threads.

    Args:
        leader: The network.
        card: Its card.
        folder: Folder for the files.
        calibration: Training pictures.
        pictures: Pictures on which the files are verified.

    Raises:
        ExportError: If the leader cannot be exported in one of the formats.
    """
    threads = torch.get_num_threads()

    def file_of(format: Format) -> Path:
        file = folder / format.default_name
        deploy.export(leader, card, file, format=format, pictures=pictures, calibration=calibration)
        return file

    eager = torch_scorer(Normalised(leader, card.mean, card.std).eval())
    forms = {"pytorch": Form(eager, file_of(FORMATS["safetensors"]).stat().st_size)}
    for name, format in FORMATS.items():
        if format.open_with_threads is not None:
            file = file_of(format)
            forms[name] = Form(format.open_with_threads(file, threads)[0], file.stat().st_size)
    return forms


def form_latencies(
    forms: Mapping[str, Form],
    pictures: UInt8[Tensor, "samples channels height width"],
    batch: int,
    repeats: int,
) -> dict[str, float]:
    """Return the median seconds of each form for a batch of the pictures, which are repeated where they are few."""
    images = (pictures[torch.arange(batch) % len(pictures)].float() / 255).numpy()

    def call_of(score: Scorer) -> Callable[[], Float32[np.ndarray, "batch outputs"]]:
        return lambda: score(images)

    return latencies({name: call_of(form.score) for name, form in forms.items()}, repeats)


def _evaluation(form: Form, card: LeaderCard, task: Task) -> Evaluation | None:
    """Return how a form answers the test images, judged as the run's peers are; None where there are none."""
    exam = task.exam("test", torch.device("cpu"))
    return None if exam is None else task.judge(_OnlyPeer(form.score, card), MeanEnsemble(), exam)


class _OnlyPeer(nn.Module):
    """A form of the leader in the place of a cohort of one peer."""

    def __init__(self, score: Scorer, card: LeaderCard):
        super().__init__()
        self._score = score
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        # Cohorts get normalised images; what is deployed normalises its own.
        outputs = torch.from_numpy(self._score((images * self._std + self._mean).numpy()))
        return CohortOutput(logits=outputs[None], features=outputs[None], stem=images, ensemble=outputs)
