"""What a model card says about the training of a leader."""

import json
from typing import Any

from peerdistill.errors import reading
from peerdistill.runs.environment import versions
from peerdistill.runs.restore import Restored
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task


def facts_of(run: Run, restored: Restored, task: Task) -> dict[str, Any]:
    """Return the data, the method, the scores and the versions of a run, without the places of its files."""
    config, data = run.config, task.data
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    return {
        "data": config.data.sources.title(config.data.data),
        "images": {name: len(split) for name, split in splits.items() if split is not None},
        "method": config.method,
        "peers": restored.cohort.peers,
        "copies of each stage": list(restored.cohort.copies),
        "epochs": f"{restored.epoch} of {config.training.epochs}",
        "pretrained": bool(config.cohort.pretrained or config.cohort.weights),
        **_scores(run, restored.epoch),
        "versions": versions(),
    }


def _scores(run: Run, epoch: int) -> dict[str, Any]:
    """Return the scores of an epoch in ``result.json``, which an unfinished run does not have."""
    if not run.result_file.exists():
        return {}
    with reading(f"cannot read {run.result_file}"):
        result = json.loads(run.result_file.read_text(encoding="utf-8"))
        found = next((one for one in (result["last"], result["best"]) if one and one["epoch"] == epoch), {})
        scores = {split: found[split]["leader"] for split in ("val", "test") if found.get(split)}
    names = {"val": "validation", "test": "test"}
    return {f"{names[split]} accuracy of the leader, percent": score for split, score in scores.items()}
