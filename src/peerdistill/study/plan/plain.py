"""The plain network of a cell: the same network, data and training, without peers."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from peerdistill.config.config import options_of
from peerdistill.config.kinds import KINDS, KindName
from peerdistill.config.options import TeacherConfig
from peerdistill.config.peer_options import OF_PEERS

_RECIPE = "recipe"
_OF_TEACHERS = frozenset(one.name for one in fields(TeacherConfig))


def shared_options(kind: KindName, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that apply to a single network as well: not those of peers, of a method or of a teacher.

    Example:
        >>> shared_options("classes", {"lr": 0.1, "backbone": "vgg16", "method": "mcl-okd", "peers": 3, "beta": 1.0})
        {'lr': 0.1, 'backbone': 'vgg16'}
    """
    without_peers = {name for name in options_of(KINDS[kind], "") if name.partition(".")[0] not in OF_PEERS}
    general = without_peers - {"method"} - _OF_TEACHERS | {_RECIPE}
    return {name: value for name, value in options.items() if name in general}
