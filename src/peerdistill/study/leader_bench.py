"""Size, accuracy and latency of a run's leader in PyTorch and in the export formats.

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
from peerdistill.evaluation import Evaluation, Scores
from peerdistill.runs import Run
from peerdistill.runs.environment import describe
from peerdistill.runs.run import Which
from peerdistill.runs.task import Task
from peerdistill.study.timing import REPEATS, median_seconds
from peerdistill.terms import MeanEnsemble

BATCHES = (1, 64)
"""Batch sizes that are timed."""

_BURST_S = 0.05
_COMPARED_PICTURES = 512
_PREDICTORS = ("peers", "leader", "ensemble")


@dataclass(frozen=True)
class Form:
    """A leader that is ready to predict.

    Attributes:
        score: Maps images in 0..1 to outputs.
        bytes: Size of its file.
    """

    score: Scorer
    bytes: int


@dataclass(frozen=True)
class FormBench:
    """Figures of one form of a leader.

    Attributes:
        bytes: Size of its file.
        accuracy: Accuracy on the test images or test episodes; None if there are none.
        milliseconds: Median time of one call for each batch size.
    """

    bytes: int
    accuracy: Scores | None
    milliseconds: Mapping[int, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "bytes": self.bytes,
            "accuracy": None if self.accuracy is None else self.accuracy.as_dict(),
            "milliseconds": {str(batch): time for batch, time in self.milliseconds.items()},
        }


@dataclass(frozen=True)
class LeaderBench:
    """Figures of a run's leader in all forms.

    Attributes:
        run: Folder of the run.
        checkpoint: "last" or "best".
        epoch: Epoch of the checkpoint.
        repeats: Number of timed bursts of each form and batch size.
        machine: The machine; see :func:`peerdistill.runs.environment.describe`.
        test: Number of test images or, for a few-shot run, the shape and number of its test episodes; None if there
            are none.
        forms: "pytorch" (eager; its size is that of the safetensors file), then each format with its own runtime.
    """

    run: str
    checkpoint: Which
    epoch: int
    repeats: int
    machine: Mapping[str, Any]
    test: Mapping[str, Any] | None
    forms: Mapping[str, FormBench]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {**vars(self), "forms": {name: form.as_dict() for name, form in self.forms.items()}}


def bench_leader(run: Run, which: Which, *, repeats: int, tell: Callable[[str], object]) -> LeaderBench:
    """Measure a run's leader in all forms.

    The files are written to a temporary folder: files in the run may be from another epoch.

    Args:
        run: The run; its data must be available.
        which: The checkpoint, "last" or "best".
        repeats: Number of timed bursts of each form and batch size.
        tell: Called with a description of each step.

    Raises:
        UserError: If run, checkpoint or data are missing, the data have changed, or ``repeats`` is out of range.
        ExportError: If the leader cannot be exported in one of the formats.
    """
    REPEATS.check("repeats", repeats)
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
            tell(f"evaluating on the test images: {name}")
            found[name] = _evaluation(form, card, task)
    tested = found["pytorch"]
    return LeaderBench(
        run=str(run.path),
        checkpoint=which,
        epoch=restored.epoch,
        repeats=repeats,
        machine=describe(torch.device("cpu")),
        test=tested and {name: value for name, value in tested.as_dict().items() if name not in _PREDICTORS},
        forms={
            name: FormBench(
                bytes=form.bytes,
                accuracy=found[name] and found[name].leader,
                milliseconds={batch: 1000 * seconds[name] for batch, seconds in times.items()},
            )
            for name, form in forms.items()
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
    """Return the median seconds of each form for a batch of the pictures, which are repeated to fill the batch."""
    images = (pictures[torch.arange(batch) % len(pictures)].float() / 255).numpy()

    def call_of(score: Scorer) -> Callable[[], Float32[np.ndarray, "batch outputs"]]:
        return lambda: score(images)

    return median_seconds({name: call_of(form.score) for name, form in forms.items()}, repeats, burst_s=_BURST_S)


def _evaluation(form: Form, card: LeaderCard, task: Task) -> Evaluation | None:
    """Return the evaluation of a form, made as for the run's peers; None if there are no test images."""
    evaluator = task.evaluator("test", torch.device("cpu"))
    return None if evaluator is None else evaluator(_OnlyPeer(form.score, card), MeanEnsemble())


class _OnlyPeer(nn.Module):
    """A form of the leader as a cohort of one peer."""

    def __init__(self, score: Scorer, card: LeaderCard):
        super().__init__()
        self._score = score
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        # A cohort gets normalised images, but a deployed leader normalises images itself.
        outputs = torch.from_numpy(self._score((images * self._std + self._mean).numpy()))
        return CohortOutput(logits=outputs[None], features=outputs[None], stem=images, ensemble=outputs)
