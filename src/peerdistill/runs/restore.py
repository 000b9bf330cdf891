"""Cohort and leader of a run, out of its checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.errors import UserError, unknown_name
from peerdistill.runs.build import build_cohort, deployed
from peerdistill.runs.identity import check_belongs, load_into
from peerdistill.runs.run import Run

Which = Literal["last", "best"]


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

    def leader(self) -> nn.Module:
        """Return a copy of the network to deploy: an encoder where the card says so."""
        return deployed(self.cohort, self.card)


def restore(run: Run, which: Which = "last") -> Restored:
    """Return the cohort of ``run``; the data is not needed.

    Raises:
        UserError: Where there is no such run or checkpoint, or the checkpoint is not of this run.
    """
    state, file = load_state(run, which)
    config = run.config
    card = LeaderCard.from_metadata(state["notes"]["card"], run.path)
    cohort = build_cohort(
        config.cohort,
        channels=card.channels,
        image_size=card.image_size,
        classes=len(state["notes"]["data"]["class_names"]),  # an encoder's card names none
    )
    load_into(cohort, state["cohort"], file)
    return Restored(cohort.eval(), card, state["progress"]["epoch"], state)


def load_state(run: Run, which: Which = "last") -> tuple[dict[str, Any], Path]:
    """Return a checkpoint of ``run``, and its file.

    Raises:
        UserError: As :func:`restore`.
    """
    checkpoints = run.checkpoints
    if which not in ("last", "best"):
        raise unknown_name("checkpoint", which, ("last", "best"))
    if which == "best" and not checkpoints.best.exists():
        raise UserError(f"{run.path} has no best checkpoint: without validation images only the last epoch is kept")
    file = getattr(checkpoints, which)
    state = checkpoints.load(file)
    check_belongs(state, file, run.config, run.config_file)
    return state, file


def scorer_of(restored: Restored) -> Scorer:
    """Return a function that scores pictures with the restored leader as an exported file would."""
    return torch_scorer(Normalised(restored.leader(), restored.card.mean, restored.card.std))
