"""Cohort, method and leader of a run, out of its checkpoints."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from peerdistill import methods
from peerdistill.cohort import Cohort
from peerdistill.data import Dataset, eval_batches, load_dataset
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.pictures import fit, open_picture
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.errors import UserError, unknown_name
from peerdistill.evaluation import Evaluation, evaluate
from peerdistill.experiment.build import EVALUATION_BATCH, build_cohort, check_device, check_same_data
from peerdistill.experiment.run import Run
from peerdistill.terms import MeanEnsemble

Which = Literal["last", "best"]
SPLITS = ("test", "val")


@dataclass(frozen=True)
class Restored:
    """A run's cohort as one checkpoint has it.

    Attributes:
        cohort: In evaluation mode.
        card: What a deployed leader must know.
        epoch: Epochs trained.
        state: The whole checkpoint.
    """

    cohort: Cohort
    card: LeaderCard
    epoch: int
    state: dict[str, Any]


def restore(run: Run, which: Which = "last") -> Restored:
    """Return the cohort of ``run``; the data is not needed.

    Raises:
        UserError: Where there is no such run or checkpoint.
    """
    config = run.config
    checkpoints = run.checkpoints
    if which not in ("last", "best"):
        raise unknown_name("checkpoint", which, ("last", "best"))
    if which == "best" and not checkpoints.best.exists():
        raise UserError(f"{run.path} has no best checkpoint: without validation images only the last epoch is kept")
    state = checkpoints.load(getattr(checkpoints, which))
    card = LeaderCard.from_metadata(state["notes"]["card"], run.path)
    cohort = build_cohort(
        config.cohort, channels=card.channels, image_size=card.image_size, classes=len(card.class_names)
    )
    cohort.load_state_dict(state["cohort"])
    return Restored(cohort.eval(), card, state["progress"]["epoch"], state)


def scorer_of(restored: Restored) -> Scorer:
    """Return a function that scores pictures with the restored leader as an exported file would."""
    return torch_scorer(Normalised(restored.cohort.leader(), restored.card.mean, restored.card.std))


def sample_pictures(run: Run, count: int) -> tuple[UInt8[Tensor, "samples channels height width"], str]:
    """Return up to ``count`` pictures as a deployed leader sees them, evenly spread over a split, and its name.

    They are test pictures, where there are none validation pictures, and else training pictures.
    """
    data = load_data(run)
    splits = {"test": data.test, "validation": data.val, "training": data.train}
    name, images = next((name, split) for name, split in splits.items() if split is not None)
    rows = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    if isinstance(images, ArraySplit):
        return images.images[rows], name
    pixels = [
        fit(open_picture(images.paths[row]), images.image_size, images.channels, images.crop) for row in rows.tolist()
    ]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), name


def load_data(run: Run) -> Dataset:
    """Return the images of a run, without what could not be read."""
    return load_dataset(run.config.data, skip_unreadable=True)


def evaluate_run(
    run: Run, which: Which = "last", split: str = "test", device: str = "cpu", *, data: Dataset | None = None
) -> Evaluation:
    """Return the accuracies of a run's checkpoint on one of its splits, "test" or "val".

    ``data`` is what :func:`load_data` returned, where several checkpoints are evaluated on it.

    Raises:
        UserError: Where run, checkpoint, split or device do not exist, or the data has changed.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    check_device(device)
    config = run.config
    restored = restore(run, which)
    data = load_data(run) if data is None else data
    images = getattr(data, split)
    if images is None:
        other = next(name for name in SPLITS if name != split)
        raise UserError(f"the data of {run.path} has no {split} split: choose --split {other}")
    check_same_data(restored.state["notes"]["data"], data)
    ensemble = _restore_ensemble(run, restored, data).to(device)
    batches = eval_batches(
        images, data, batch_size=EVALUATION_BATCH, device=torch.device(device), workers=config.data.workers
    )
    return evaluate(restored.cohort.to(device), ensemble, batches)


def _restore_ensemble(run: Run, restored: Restored, data: Dataset) -> nn.Module:
    config = run.config
    if methods.find(config.method).taught:
        # One student is its own ensemble; its method can't be built again where the teacher is gone.
        return MeanEnsemble()
    method = methods.build(config.method, restored.cohort, train_labels=data.train.labels, **config.options)
    method.load_state_dict(restored.state["method"])
    return method.ensemble
