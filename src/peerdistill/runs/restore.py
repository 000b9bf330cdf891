"""The cohort and the leader of a run, restored from its checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.errors import UserError, unknown_name
from peerdistill.runs.build import build_cohort, deployed
from peerdistill.runs.identity import check_belongs, load_into
from peerdistill.runs.run import CHECKPOINTS, Run, Which


@dataclass(frozen=True)
class Restored:
    """The cohort of a run with the weights of a checkpoint.

    Attributes:
        run: Folder of the run.
        cohort: The peers, in evaluation mode.
        card: What a deployed leader must know.
        epoch: Number of trained epochs.
        state: The whole checkpoint; its tensors are read from the file when they are used.
    """

    run: Path
    cohort: Cohort
    card: LeaderCard
    epoch: int
    state: dict[str, Any]

    def leader(self) -> nn.Module:
        """Return a copy of the network to deploy; if the card says so, an encoder without a classifier."""
        return deployed(self.cohort, self.card)

    def ema(self) -> nn.Module:
        """Return the moving average of the leader's weights, as :meth:`leader` returns the leader.

        Raises:
            UserError: The run was trained without one.
        """
        return deployed(self.averaged(), self.card)

    @property
    def has_ema(self) -> bool:
        """Whether the run has a moving average of the leader's weights."""
        return "ema" in self.state

    def others(self) -> dict[str, Cohort]:
        """Return the networks that are evaluated beside the peers, by name: "ema" if there is one."""
        return {"ema": self.averaged()} if self.has_ema else {}

    def averaged(self) -> Cohort:
        """Return the moving average of the leader's weights as a cohort of one peer.

        Raises:
            UserError: The run was trained without one.
        """
        if not self.has_ema:
            raise UserError(f"{self.run} has no moving average of the leader's weights: train with --ema 0.999")
        network = self.cohort.leader()
        load_into(network, self.state["ema"], Path("the checkpoint"))
        return self.cohort.single(network).eval()

    def scorer(self) -> Scorer:
        """Return a function that scores pictures with the leader as an exported file does."""
        return torch_scorer(Normalised(self.leader(), self.card.mean, self.card.std, self.card.temperature))


def restore(run: Run, which: Which = "last") -> Restored:
    """Return the cohort of a run; its data are not needed.

    Raises:
        UserError: The run or the checkpoint does not exist, or the checkpoint belongs to another run.
    """
    state, file = load_state(run, which)
    config = run.config
    card = LeaderCard.from_metadata(state["notes"]["card"], run.path)
    cohort = build_cohort(
        config.cohort,
        channels=card.channels,
        image_size=card.image_size,
        classes=len(state["notes"]["data"]["class_names"]),  # the card of an encoder has no classes
    )
    load_into(cohort, state["cohort"], file)
    return Restored(run.path, cohort.eval(), card, state["progress"]["epoch"], state)


def load_state(run: Run, which: Which = "last") -> tuple[dict[str, Any], Path]:
    """Return a checkpoint of a run, and its file.

    Raises:
        UserError: As :func:`restore`.
    """
    run.require()
    checkpoints = run.checkpoints
    if which not in CHECKPOINTS:
        raise unknown_name("checkpoint", which, CHECKPOINTS)
    if which == "best" and not checkpoints.best.exists():
        raise UserError(f"{run.path} has no best checkpoint: without validation images only the last epoch is kept")
    file = getattr(checkpoints, which)
    state = checkpoints.open(file)
    check_belongs(state, file, run.config, run.config_file)
    return state, file
