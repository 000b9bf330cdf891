"""The result of a run: the evaluation of its last and best epoch, and what else ``result.json`` holds."""

import platform
from collections.abc import Mapping
from typing import Any

import yaml
from torch import nn

from peerdistill.evaluation import Evaluator
from peerdistill.runs.build import deployed
from peerdistill.runs.environment import versions
from peerdistill.runs.identity import check_belongs, load_into
from peerdistill.runs.predictions import evaluate_and_keep
from peerdistill.runs.run import Run, Which
from peerdistill.runs.task import Task
from peerdistill.training import Trainer


def result_of(run: Run, trainer: Trainer, task: Task, evaluators: Mapping[str, Evaluator | None]) -> dict[str, Any]:
    """Return the content of ``result.json`` after the evaluation of the last and the best epoch."""
    config = task.config
    return {
        "method": config.method,
        "seed": config.training.seed,
        "parameters": trained_parameters(trainer, task),
        **_final_accuracies(run, trainer, task, evaluators),
        "stopped_early": trainer.progress.epoch if trainer.stopped_early else None,
        "images": {"train": task.data.fingerprint, **task.data.held_out},
        "skipped_pictures": task.data.skipped,
        "seconds": round(trainer.seconds, 1),
        "cpu_seconds": round(trainer.cpu_seconds, 1),
        "options": yaml.safe_load(yaml.safe_dump(config.as_dict())),
        "versions": {"python": platform.python_version(), **versions()},
    }


def trained_parameters(trainer: Trainer, task: Task) -> dict[str, int]:
    """Return the number of parameters: all of the deployed "leader", and those of "cohort" and "method" that learn."""
    modules: dict[str, nn.Module] = {
        "leader": deployed(trainer.cohort, task.card()),
        "cohort": trainer.cohort,
        "method": trainer.method,
    }
    return {
        name: sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        for name, module in modules.items()
    }


def _final_accuracies(
    run: Run, trainer: Trainer, task: Task, evaluators: Mapping[str, Evaluator | None]
) -> dict[str, Any]:
    """Return the scores of the last and the best epoch on all splits; the networks then have the weights of the best.

    The last epoch is the last one that was trained, also if training stopped early. Predictions are written into the
    run folder.
    """

    def measured(which: Which, epoch: int) -> dict[str, Any]:
        found = {
            split: evaluate_and_keep(run, task, evaluator, trainer.learner.networks, which, split).as_dict()
            for split, evaluator in evaluators.items()
            if evaluator is not None
        }
        return {"epoch": epoch, **found}

    result = {"last": measured("last", trainer.progress.epoch), "best": None}
    if trainer.progress.best_epoch:
        file = trainer.checkpoints.best
        best = trainer.checkpoints.load(file)
        check_belongs(best, file, task.config, run.config_file)
        parts = {"cohort": trainer.cohort, "ensemble": trainer.method.ensemble, "ema": trainer.learner.ema}
        for name, module in parts.items():
            if module is not None:
                load_into(module, best[name], file)
        result["best"] = measured("best", trainer.progress.best_epoch)
    return result
