"""A run and the accuracy of its leader on every sample.

Axes: N samples (images or episodes).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from peerdistill.errors import UserError, reading
from peerdistill.runs.json_file import read_object
from peerdistill.runs.run import Run
from peerdistill.study.training_time import training_time

TOP1 = "top-1"
"""Column of the accuracy on images; those of few-shot runs are shapes of episodes."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A run and what its leader did on every sample of an evaluation set.

    Attributes:
        run: The run.
        samples: Accuracy of the leader in percent on every sample, by column: 0 or 100 of an image.
        figures: Mean accuracy in percent by column and predictor: "leader", "mean peer" and "ensemble".
        result: Content of its ``result.json``.
    """

    run: Run
    samples: Mapping[str, Float[np.ndarray, " samples"]]
    figures: Mapping[str, Mapping[str, float | None]]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Path of the run."""
        return str(self.run.path)

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return self.run.config.training.seed

    @property
    def device(self) -> str | None:
        """Device of its training; None if no file says."""
        return (read_object(self.run.environment_file) or {}).get("device")

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON, without samples.

        ``training_time`` are the seconds by which its cost is compared; see
        :func:`peerdistill.study.training_time.training_time`.

        Raises:
            UserError: The file of its environment is damaged.
        """
        return {
            "run": self.name,
            "seed": self.seed,
            "accuracy": {column: dict(figures) for column, figures in self.figures.items()},
            "epochs": self.run.config.training.epochs,
            "seconds": self.result.get("seconds"),
            "cpu_seconds": self.result.get("cpu_seconds"),
            "device": self.device,
            "training_time": training_time(self.result.get("seconds"), self.result.get("cpu_seconds"), self.device),
            "parameters": self.result.get("parameters", {}).get("leader"),
        }


def figures_of(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the accuracies of an evaluation, as ``result.json`` holds it, by predictor."""
    peers = [peer["top1"] for peer in evaluation["peers"]]
    ensemble = evaluation["ensemble"]["top1"] if len(peers) > 1 else None
    return {"leader": evaluation["leader"]["top1"], "mean peer": sum(peers) / len(peers), "ensemble": ensemble}


def result_of(run: Run) -> dict[str, Any]:
    """Return the content of the ``result.json`` of a run.

    Raises:
        UserError: The run is not finished, or the file is damaged.
    """
    if not run.result_file.is_file():
        raise UserError(
            f"{run.path} is not finished: train it to the end with --resume, {run.result_file.name} is missing"
        )
    with reading(f"{run.result_file} cannot be read"):
        return dict(json.loads(run.result_file.read_text(encoding="utf-8")))
