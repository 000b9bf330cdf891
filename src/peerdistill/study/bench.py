"""Accuracy, latency and size of everything that a run can deploy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill import runs
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.scorers import Scorer
from peerdistill.deploy.what import AVERAGE, EMA, ENSEMBLE, LEADER, check_what, in_words
from peerdistill.evaluation import Alone, Evaluation, Evaluator, Scores
from peerdistill.runs import Restored, Run
from peerdistill.runs.environment import describe
from peerdistill.runs.run import Which
from peerdistill.runs.task import Task
from peerdistill.study.forms import BATCHES, Form, form_latencies, make_forms
from peerdistill.study.timing import REPEATS
from peerdistill.terms import MeanEnsemble

_COMPARED_PICTURES = 512
_Key = tuple[str, str]  # network and form
_PREDICTORS = ("peers", "leader", "ensemble")  # one network is evaluated at a time


@dataclass(frozen=True)
class FormBench:
    """Figures of one form of a network.

    Attributes:
        bytes: Size of its file.
        accuracy: Accuracy on the evaluation set; None if there is none.
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
class Bench:
    """Figures of the networks of a run in all forms.

    Attributes:
        run: Folder of the run.
        checkpoint: "last" or "best".
        epoch: Epoch of the checkpoint.
        repeats: Most timed bursts of each form and batch size.
        machine: The machine; see :func:`peerdistill.runs.environment.describe`.
        evaluated: The evaluation set: ``split`` ("test", or "val" without test images), and the number of its images or
            the shape and number of its episodes; None if the data have neither.
        networks: By name as in ``--what``, then by form: see :func:`peerdistill.study.forms.make_forms`.
    """

    run: str
    checkpoint: Which
    epoch: int
    repeats: int
    machine: Mapping[str, Any]
    evaluated: Mapping[str, Any] | None
    networks: Mapping[str, Mapping[str, FormBench]]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        networks = {
            what: {name: form.as_dict() for name, form in forms.items()} for what, forms in self.networks.items()
        }
        return {**vars(self), "networks": networks}


def bench(
    run: Run,
    which: Which,
    *,
    what: Sequence[str] = (),
    repeats: int,
    threads: int,
    tell: Callable[[str], object],
) -> Bench:
    """Measure the networks that a run can deploy, in all forms.

    The files are written to a temporary folder: files in the run may be from another epoch. All forms of all networks
    take turns when they are timed.

    Args:
        run: The run; its data must be available.
        which: The checkpoint, "last" or "best".
        what: The networks, see :func:`peerdistill.runs.deployable`; by default all that differ in cost or weights, see
            :func:`deployable_networks`.
        repeats: Most timed bursts of each form and batch size.
        threads: Number of threads of PyTorch and of onnxruntime.
        tell: Called with a description of each step.

    Raises:
        UserError: If run, checkpoint, network or data are missing, the data have changed, or ``repeats`` is out of
            range.
        ExportError: If a network cannot be exported in one of the formats.
    """
    REPEATS.check("repeats", repeats)
    for name in what:
        check_what(name, run.config.cohort.peers)
    restored = runs.restore(run, which)
    tell("reading the images")
    task = runs.load_task_of(run)
    calibration = runs.calibration_pictures(run, restored, task.data)
    compared, _ = runs.sample_pictures(run, _COMPARED_PICTURES, data=task.data)
    with _threads(threads), TemporaryDirectory() as folder:
        cards, forms = {}, {}
        for name in what or deployable_networks(restored):
            tell(f"writing and checking the files of {in_words(name)}")
            chosen = runs.deployable(run, restored, name, task=task)
            cards[name] = chosen.card
            made = make_forms(chosen.network, chosen.card, Path(folder), calibration=calibration, pictures=compared)
            forms |= {(name, form): ready for form, ready in made.items()}
        times = {}
        for batch in BATCHES:
            tell(f"timing, batch {batch}")
            times[batch] = form_latencies(forms, calibration, batch, repeats)
        split, found = _evaluations(task, forms, cards, tell)
        machine = describe(torch.device("cpu"))
    figures = {key: _figures(key, ready, found.get(key), times) for key, ready in forms.items()}
    return Bench(
        run=str(run.path),
        checkpoint=which,
        epoch=restored.epoch,
        repeats=repeats,
        machine=machine,
        evaluated=_about(split, next(iter(found.values()), None)),
        networks={name: {form: one for (of, form), one in figures.items() if of == name} for name in cards},
    )


def _figures(
    key: _Key, form: Form, evaluation: Evaluation | None, times: Mapping[int, Mapping[_Key, float]]
) -> FormBench:
    milliseconds = {batch: 1000 * seconds[key] for batch, seconds in times.items()}
    return FormBench(form.bytes, None if evaluation is None else evaluation.leader, milliseconds)


def deployable_networks(restored: Restored) -> list[str]:
    """Return the networks of a checkpoint that differ in cost or weights.

    They are the leader; of several peers the ensemble, the peers with another backbone than the leader and, if all
    have the same backbone, the average; and the moving average if there is one.
    """
    names = [backbone.name for backbone in restored.cohort.backbones]
    peers = [f"peer:{names.index(name)}" for name in dict.fromkeys(names) if name != names[-1]]
    average = [] if peers or len(names) == 1 else [AVERAGE]
    ensemble = [ENSEMBLE] if len(names) > 1 else []
    return [LEADER, *peers, *ensemble, *average, *([EMA] if restored.has_ema else [])]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use this number of threads in PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _evaluations(
    task: Task, forms: Mapping[_Key, Form], cards: Mapping[str, LeaderCard], tell: Callable[[str], object]
) -> tuple[str, dict[_Key, Evaluation]]:
    """Return the name of the evaluation set, and the evaluation of each form on it; none without such images."""
    split, evaluator = _evaluator(task)
    found: dict[_Key, Evaluation] = {}
    if evaluator is None:
        return split, found
    for (name, form), ready in forms.items():
        tell(f"evaluating {in_words(name)}: {form}")
        found[name, form] = _evaluation(evaluator, ready, cards[name])
    return split, found


def _evaluator(task: Task) -> tuple[str, Evaluator | None]:
    """Return the evaluator of the test images; without them, of the validation images."""
    for split in ("test", "val"):
        evaluator = task.evaluator(split, torch.device("cpu"))
        if evaluator is not None:
            return split, evaluator
    return "", None


def _about(split: str, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Return what was evaluated on, without the scores."""
    if evaluation is None:
        return None
    return {"split": split, **{key: value for key, value in evaluation.as_dict().items() if key not in _PREDICTORS}}


def _evaluation(evaluator: Evaluator, form: Form, card: LeaderCard) -> Evaluation:
    """Return the evaluation of a form, made as for the run's peers."""
    return evaluator(Alone(_on_normalised(form.score, card)), MeanEnsemble())


def _on_normalised(score: Scorer, card: LeaderCard) -> Callable[[Tensor], Tensor]:
    """Return a scorer, which normalises images itself, as a function of normalised images."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))

    def scores(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        return torch.from_numpy(score((images * std + mean).numpy()))

    return scores
