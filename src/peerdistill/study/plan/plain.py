"""The plain network of a cell: the same network, data and training, without peers."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from peerdistill.config.config import options_of
from peerdistill.config.kinds import KINDS, KindName
from peerdistill.config.options import CohortConfig, TeacherConfig
from peerdistill.training.config import GrowthConfig

_RECIPE = "recipe"
# Options of the cohort that a single network has, too.
_OF_THE_NETWORK = frozenset({"backbone", "classifier", "pretrained", "weights", "freeze_until"})
_OF_COHORTS = frozenset({one.name for one in fields(CohortConfig)} - _OF_THE_NETWORK)
# When the other peers learn.
_OF_TIMES = frozenset({"distill_every", *(f"growth.{one.name}" for one in fields(GrowthConfig))})
_OF_PEERS = _OF_COHORTS | _OF_TIMES
_OF_TEACHERS = frozenset(one.name for one in fields(TeacherConfig))


def shared_options(kind: KindName, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that apply to a single network as well: not those of peers, of a method or of a teacher.

    Example:
        >>> shared_options("classes", {"lr": 0.1, "backbone": "vgg16", "method": "mcl-okd", "peers": 3, "beta": 1.0})
        {'lr': 0.1, 'backbone': 'vgg16'}
    """
    general = options_of(KINDS[kind], "").keys() - {"method"} - _OF_PEERS - _OF_TEACHERS | {_RECIPE}
    return {name: value for name, value in options.items() if name in general}
