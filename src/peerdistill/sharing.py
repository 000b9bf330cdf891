"""The number of copies of each stage in a cohort. Importing this module does not import PyTorch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from peerdistill.errors import UserError, unknown_name

if TYPE_CHECKING:
    import peerdistill.backbones.backbone

SHARINGS = ("network", "branch", "tree")
"""Names of sharings."""

BranchAt = Literal["early", "late"]
"""Where branches part: early as in MCL-OKD, or late as in ONE and OKDDip."""


def copies_per_stage(
    backbone: "peerdistill.backbones.backbone.Backbone",
    peers: int,
    sharing: str | Sequence[int],
    share_until: str | None = None,
    branch_at: BranchAt = "early",
) -> tuple[int, ...]:
    """Return the number of copies of each stage in a cohort.

    Args:
        backbone: The backbone of all peers.
        peers: Number of peers.
        sharing: "network": each peer has its own copy of every stage. "branch": all peers share the stages up to and
            including ``share_until`` and have their own copies of the others. "tree": like "branch", but the copies
            increase stage by stage, for example 1, 1, 2, 4. A list gives the number of copies of each stage.
        share_until: Name of the last stage that all peers share. By default the backbone defines it.
        branch_at: Which default of the backbone "branch" uses, "early" or "late". "tree" uses the early one.

    Raises:
        UserError: For an unknown sharing, stage or ``branch_at``, for counts that do not form a tree (each count must
            divide the next one, and the last one the number of peers), or if the backbone has no stages to share.

    Example:
        >>> from peerdistill import backbones
        >>> copies_per_stage(backbones.build("resnet20", classes=10), peers=4, sharing="branch")
        (1, 1, 4, 4)
    """
    stages = [stage.name for stage in backbone.stages]
    if backbone.unsplittable and sharing != "network":
        raise UserError(
            f"sharing must be network for {backbone.name}, found {sharing}: "
            f"it can't be split into stages, because {backbone.unsplittable}"
        )
    if branch_at not in get_args(BranchAt):
        raise unknown_name("branch_at", branch_at, get_args(BranchAt))
    if share_until is not None and sharing not in ("branch", "tree"):
        raise UserError(f"share_until='{share_until}' requires sharing branch or tree, found sharing '{sharing}'")
    if sharing == "network":
        return (peers,) * len(stages)
    if sharing in ("branch", "tree"):
        late = sharing == "branch" and branch_at == "late"
        default = _share_until_late(backbone) if late else backbone.share_until
        until = default if share_until is None else share_until
        if until not in stages:
            raise unknown_name(f"share_until of {backbone.name}", until, stages)
        shared = stages.index(until) + 1
        separate = len(stages) - shared
        return (1,) * shared + (_tree_copies(peers, separate) if sharing == "tree" else (peers,) * separate)
    if isinstance(sharing, str):
        raise unknown_name("sharing", sharing, SHARINGS)
    _check_tree(tuple(sharing), peers, stages)
    return tuple(sharing)


def _share_until_late(backbone: "peerdistill.backbones.backbone.Backbone") -> str:
    """Return the last stage that branches share if they part late: see ``Backbone.share_until_late``."""
    if backbone.share_until_late is not None:
        return backbone.share_until_late
    stages = [stage.name for stage in backbone.stages]
    early = stages.index(backbone.share_until)
    return stages[max(early, min(early + 1, len(stages) - 2))]


def check_peer_backbones(peer_backbones: Sequence[Any], peers: int, sharing: str | Sequence[int]) -> None:
    """Raise UserError if there is not one backbone for each peer but the leader, or if peers are to share stages."""
    if len(peer_backbones) != peers - 1:
        raise UserError(
            f"peer_backbones lists {len(peer_backbones)} backbone{'s' * (len(peer_backbones) != 1)}, one for each peer "
            f"but the leader, so peers must be {len(peer_backbones) + 1}, found {peers}"
        )
    if sharing != "network":
        raise UserError(f"peers with different backbones can't share stages: sharing must be network, found {sharing}")


def _tree_copies(peers: int, stages: int) -> tuple[int, ...]:
    """Return the copies of each stage above the shared stem, spread evenly over the levels of a tree.

    From each level to the next, groups of peers are split in half, or by the smallest divisor of an odd number. If
    there are more levels than stages, the first levels are skipped.
    """
    levels = [peers]
    while levels[0] > 2:
        levels.insert(0, levels[0] // next(d for d in range(2, levels[0] + 1) if levels[0] % d == 0))
    levels = [level for level in levels if level > 1] or [peers]
    from_top = [levels[-1 - above * len(levels) // max(stages, len(levels))] for above in range(stages)]
    return tuple(reversed(from_top))


def _check_tree(copies: tuple[int, ...], peers: int, stages: list[str]) -> None:
    if len(copies) != len(stages):
        raise UserError(
            f"sharing {list(copies)} has {len(copies)} counts but there are {len(stages)} stages: {', '.join(stages)}"
        )
    if any(count < 1 for count in copies) or any(
        after % before for before, after in zip(copies, (*copies[1:], peers), strict=True)
    ):
        raise UserError(
            f"sharing {list(copies)} cannot divide {peers} peers into a tree: each count must divide the next one, "
            f"and the last one must divide {peers}"
        )
