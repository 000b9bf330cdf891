"""The figures of Tables 1 to 5 of the paper, in ``figures.csv`` beside this file."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

SOURCE = (
    "Chuanguang Yang, Zhulin An, Xiaolong Hu, Hui Zhu, Kaiqiang Xu, Yongjun Xu: Multi-view Contrastive Learning for "
    "Online Knowledge Distillation. ICASSP 2021, Tables 1 to 5"
)
"""Where the figures were published."""

Predictor = Literal["leader", "ensemble"]
Metric = Literal["top1_error", "top1_accuracy"]

_PACKAGE = "peerdistill.study.paper"


@dataclass(frozen=True)
class Published:
    """A published figure in percent.

    Attributes:
        table: Number of the table.
        dataset: Data set.
        setting: "network" or "branch" for classes, such as "5-way 1-shot" for episodes; "" where the paper has none.
        network: Network.
        method: Method.
        metric: "top1_error" for classes, "top1_accuracy" for episodes.
        role: Who predicts: the leader, or the ensemble of all peers.
        mean: The figure.
        std: What the paper writes after ±: in Tables 1, 2 and 4 the standard deviation over three runs, in Table 5 the
            95 % interval over episodes. None: nothing.
    """

    table: int
    dataset: str
    setting: str
    network: str
    method: str
    metric: Metric
    role: Predictor
    mean: float
    std: float | None


@cache
def all_published() -> tuple[Published, ...]:
    """Return all 129 figures in the order of the paper."""
    text = (resources.files(_PACKAGE) / "figures.csv").read_text(encoding="utf-8")
    return tuple(_figure(row) for row in csv.DictReader(text.splitlines()))


def published(
    *,
    table: int,
    dataset: str | None = None,
    setting: str | None = None,
    network: str | None = None,
    method: str | None = None,
    role: Predictor = "leader",
) -> Published | None:
    """Return the published figure with the given labels; None if there is not exactly one.

    Args:
        table: Number of the table, 1 to 5.
        dataset: Its data set; None, as for all labels: any.
        setting: Its setting; a figure for which the paper has none fits every setting.
        network: Its network.
        method: Its method.
        role: Who predicts.

    Example:
        >>> figure = published(table=2, dataset="CIFAR-100", setting="branch", network="ResNet-32", method="MCL-OKD")
        >>> figure.mean, figure.std
        (24.45, 0.17)
    """
    asked = {"table": table, "dataset": dataset, "network": network, "method": method, "role": role}
    found = [
        figure
        for figure in all_published()
        if all(value is None or getattr(figure, name) == value for name, value in asked.items())
        and setting in (None, figure.setting if figure.setting else setting)
    ]
    return found[0] if len(found) == 1 else None


def _figure(row: dict[str, str]) -> Published:
    return Published(
        table=int(row["table"]),
        dataset=row["dataset"],
        setting=row["setting"],
        network=row["network"],
        method=row["method"],
        metric=row["metric"],  # type: ignore[arg-type]
        role=row["role"],  # type: ignore[arg-type]
        mean=float(row["mean"]),
        std=float(row["std"]) if row["std"] else None,
    )
