"""The ensemble of a run, from its checkpoint."""

from pathlib import Path
from typing import Any

from torch import nn

from peerdistill import methods
from peerdistill.cohort import Cohort
from peerdistill.config.config import Config
from peerdistill.runs.identity import load_into
from peerdistill.terms import MeanEnsemble


def ensemble_of(config: Config, cohort: Cohort, state: dict[str, Any]) -> nn.Module:
    """Return the ensemble of the method of a run with the weights of the checkpoint ``state``.

    Neither data nor teacher are needed, and no term of the method is built.
    """
    if methods.find(config.method).needs_teacher:
        return MeanEnsemble()  # a single student is its own ensemble
    ensemble = methods.build_ensemble(config.method, cohort, **config.options)
    load_into(ensemble, state["ensemble"], Path("the checkpoint"))
    return ensemble
