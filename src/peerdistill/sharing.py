"""How many copies of each stage a cohort holds, readable without importing PyTorch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    import peerdistill.backbones.backbone

SHARINGS = ("network", "branch", "tree")
"""The sharings that have a name."""

BranchAt = Literal["early", "late"]
"""Where branches part: where those of MCL-OKD do, or where those of ONE and OKDDip do."""


def copies_per_stage(
    backbone: "peerdistill.backbones.backbone.Backbone",
    peers: int,
    sharing: str | Sequence[int],
    share_until: str | None = None,
    branch_at: BranchAt = "early",
) -> tuple[int, ...]:
    """Return how many copies of each stage a cohort holds.

    "network" gives every peer its own copy of each stage. "branch" gives one copy to all up to and including the stage
    ``share_until`` and then one to each. "tree" does so too, but splits the group of peers stage by stage: 1, 1, 2, 4.
    A list of counts is taken as it stands.

    Without ``share_until`` the backbone names the stage: of branches that part "early" or "late", as ``branch_at``
    says, and of a tree the early one.

    Raises:
        UserError: For an unknown sharing, stage or ``branch_at``, or counts that do not form a tree: each count must
            be a multiple of the one before and divide the number of peers.
    """
    stages = [stage.name for stage in backbone.stages]
    if backbone.unsplittable and sharing != "network":
        raise UserError(
            f"peers can share no part of {backbone.name}, sharing network works: "
            f"it can't be split into stages, for {backbone.unsplittable}"
        )
    if branch_at not in get_args(BranchAt):
        raise unknown_name("branch_at", branch_at, get_args(BranchAt))
    if share_until is not None and sharing not in ("branch", "tree"):
        raise UserError(f"share_until='{share_until}' goes with sharing branch or tree, found sharing '{sharing}'")
    if sharing == "network":
        return (peers,) * len(stages)
    if sharing in ("branch", "tree"):
        late = sharing == "branch" and branch_at == "late"
        own_choice = _share_until_late(backbone) if late else backbone.share_until
        until = own_choice if share_until is None else share_until
        if until not in stages:
            raise unknown_name(f"share_until of {backbone.name}", until, stages)
        shared = stages.index(until) + 1
        apart = len(stages) - shared
        return (1,) * shared + (_splits(peers, apart) if sharing == "tree" else (peers,) * apart)
    if isinstance(sharing, str):
        raise unknown_name("sharing", sharing, SHARINGS)
    _check_tree(tuple(sharing), peers, stages)
    return tuple(sharing)


def _share_until_late(backbone: "peerdistill.backbones.backbone.Backbone") -> str:
    """Return the last stage that branches share where they part late: see ``Backbone.share_until_late``."""
    if backbone.share_until_late is not None:
        return backbone.share_until_late
    stages = [stage.name for stage in backbone.stages]
    early = stages.index(backbone.share_until)
    return stages[max(early, min(early + 1, len(stages) - 2))]


def check_peer_backbones(peer_backbones: Sequence[Any], peers: int, sharing: str | Sequence[int]) -> None:
    """Raise UserError where peers of different backbones are not M - 1 beside the leader, or are to share stages."""
    if len(peer_backbones) != peers - 1:
        raise UserError(
            f"peer_backbones names {len(peer_backbones)}, one for each peer but the leader: peers must be "
            f"{len(peer_backbones) + 1}, found {peers}"
        )
    if sharing != "network":
        raise UserError(f"peers of different backbones share nothing: sharing must be network, found {sharing}")


def _splits(peers: int, stages: int) -> tuple[int, ...]:
    """Return the copies of so many stages above the shared stem, evenly spread over the levels of a tree.

    From level to level a group of peers falls into halves; where a number has no half, its smallest divisor takes the
    place of 2. Where there are more levels than stages, the first are left out.
    """
    levels = [peers]
    while levels[0] > 2:
        levels.insert(0, levels[0] // next(d for d in range(2, levels[0] + 1) if levels[0] % d == 0))
    levels = [level for level in levels if level > 1] or [peers]
    from_top = [levels[-1 - above * len(levels) // max(stages, len(levels))] for above in range(stages)]
    return tuple(reversed(from_top))


def _check_tree(copies: tuple[int, ...], peers: int, stages: list[str]) -> None:
    if len(copies) != len(stages):
        raise UserError(f"sharing {list(copies)} has {len(copies)} counts, the stages are {', '.join(stages)}")
    if any(count < 1 for count in copies) or any(
        after % before for before, after in zip(copies, (*copies[1:], peers), strict=True)
    ):
        raise UserError(
            f"sharing {list(copies)} is no tree of {peers} peers: each count must divide the next one, "
            f"and the last one must divide {peers}"
        )
