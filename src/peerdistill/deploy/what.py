"""Which network of a run is deployed: its name in options, files and messages. This file does not import PyTorch."""

import re
from typing import Any

from peerdistill.errors import UserError, unknown_name

LEADER, ENSEMBLE, EMA, AVERAGE = "leader", "ensemble", "ema", "average"
NAMES = (LEADER, ENSEMBLE, "peer:K", EMA, AVERAGE)
"""What ``--what`` takes; K is the number of a peer, from 0."""

_MEANINGS = {
    LEADER: "the leader",
    ENSEMBLE: "the ensemble",
    EMA: "the moving average of the leader's weights",
    AVERAGE: "the average of the peers' weights",
}
_PEER = re.compile(r"peer:(0|[1-9][0-9]{0,5})")


def is_what(value: Any) -> bool:
    """Return whether a value is one of ``NAMES``, with a number in place of K."""
    return isinstance(value, str) and (value in _MEANINGS or _PEER.fullmatch(value) is not None)


def check_what(what: str, peers: int) -> None:
    """Check that a run can have such a network.

    Args:
        what: The network.
        peers: Number of peers of the run.

    Raises:
        UserError: If the name is unknown, there is no such peer, or one peer has no ensemble or average.
    """
    if not is_what(what):
        raise unknown_name("network to deploy", what, NAMES)
    number = peer_of(what)
    if number is not None and number >= peers:
        raise UserError(f"{what} does not exist: the run has the peers 0 to {peers - 1}")
    if peers == 1 and what in (ENSEMBLE, AVERAGE):
        raise UserError(f"the run has one peer, so it has no {what}: choose leader")


def peer_of(what: str) -> int | None:
    """Return the number K of "peer:K"; None for other networks."""
    found = _PEER.fullmatch(what)
    return int(found[1]) if found else None


def in_words(what: str | None) -> str:
    """Return the name of a network in a message; of an unknown one (None), that of the leader.

    Example:
        >>> in_words("peer:2"), in_words("ensemble")
        ('peer 2', 'the ensemble')
    """
    return _MEANINGS.get(what or LEADER) or str(what).replace(":", " ")


def file_stem(what: str) -> str:
    """Return the name of a file of the network, without suffix.

    Example:
        >>> file_stem("peer:2")
        'peer2'
    """
    return what.replace(":", "")
