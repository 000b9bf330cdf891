"""Options that say which peers there are and when they learn: a single network does not have them."""

from dataclasses import fields

from peerdistill.config.options import CohortConfig
from peerdistill.training.config import WHEN_PEERS_LEARN

# Options of the cohort that a single network has, too.
_OF_THE_NETWORK = frozenset({"backbone", "classifier", "pretrained", "weights", "freeze_until"})

OF_PEERS = frozenset({one.name for one in fields(CohortConfig)} - _OF_THE_NETWORK) | WHEN_PEERS_LEARN
"""Names of the options, or of their groups."""
