"""Tables as JSON, with everything that is known of the verdicts."""

import json
from dataclasses import asdict, is_dataclass
from typing import Any

from peerdistill.study.results.table import Table, Value

SUFFIX = ".json"


def render(table: Table) -> str:
    """Return a table as JSON."""
    return json.dumps(values(table), indent=2) + "\n"


def values(table: Table) -> dict[str, Any]:
    """Return a table as values for JSON: ``title``, ``rows``, ``verdicts``, ``notes`` and ``missing``."""
    return {
        "title": table.title,
        "rows": [
            {name: _plain(value) for columns in row.values() for name, value in columns.items()} for row in table.rows
        ],
        "verdicts": list(table.details),
        "notes": list(table.notes),
        "missing": list(table.reasons),
    }


def _plain(value: Value) -> Any:
    return asdict(value) if is_dataclass(value) else value
