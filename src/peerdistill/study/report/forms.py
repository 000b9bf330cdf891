"""What a run can deploy: the figures of ``peerdistill bench RUN --json`` in the file ``bench.json`` of its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerdistill.errors import reading
from peerdistill.study.report.charts import Table


def forms_table(bench: Mapping[str, Any], folder: Path) -> Table:
    """Return accuracy, size and latency of every network in every form.

    Args:
        bench: The figures.
        folder: The run folder, for the error.

    Raises:
        UserError: The figures are not those of ``peerdistill bench``.
    """
    with reading(f"{folder / 'bench.json'} does not hold what 'peerdistill bench RUN --json' prints"):
        batches = list(
            dict.fromkeys(
                b for forms in bench["networks"].values() for one in forms.values() for b in one["milliseconds"]
            )
        )
        rows = [
            [
                network,
                form,
                f"{one['accuracy']['top1']:.2f} %" if one["accuracy"] else "",
                round(one["bytes"] / 1e6, 3),
                *(round(one["milliseconds"][batch], 3) for batch in batches),
            ]
            for network, forms in bench["networks"].items()
            for form, one in forms.items()
        ]
    times = [f"ms for {batch} image{'s' if batch != '1' else ''}" for batch in batches]
    return Table(["network", "form", "top-1", "MB", *times], rows)
