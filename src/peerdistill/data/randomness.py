"""Random draws that depend on a key alone, never on what was drawn before them."""

import numpy as np
import torch


def keyed_seed(*key: int) -> int:
    """Return a 64-bit seed mixed from ``key``; keys of the same length that differ give unrelated seeds."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def keyed_generator(*key: int) -> torch.Generator:
    """Return a CPU generator seeded from ``key``."""
    return torch.Generator().manual_seed(keyed_seed(*key))
