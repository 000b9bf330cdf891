"""The record of a campaign: what came of the injections of each fault."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COUNTS = ("injected", "killed_while_writing", "before_the_first_checkpoint")
_MOST_TOLD = 5


def write(file: Path, fault: str, found: Mapping[str, Any], *, add: bool) -> None:
    """Write what came of a fault to a record, where other faults are kept.

    Args:
        file: The record.
        fault: Name of the fault.
        found: What came of its injections.
        add: Add to what the record has of the fault, instead of replacing it.
    """
    record = json.loads(file.read_text()) if file.exists() else {"faults": {}}
    before = record["faults"].get(fault)
    record["faults"][fault] = dict(found) if before is None or not add else _together(before, found)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=2) + "\n")


def _together(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: before[name] + found[name] for name in _COUNTS},
        "exit_codes": dict(Counter(before["exit_codes"]) + Counter(found["exit_codes"])),
        "told": sorted({*before.get("told", ()), *found["told"]})[:_MOST_TOLD],
        "wrong": [*before["wrong"], *found["wrong"]],
        "campaigns": [*before.get("campaigns", ()), *found["campaigns"]],
    }
