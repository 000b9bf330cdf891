"""What a process knows of others that train with it. Free of PyTorch."""

import os

ANOTHER_FAILED = "another process of this training has failed"
"""Begins the last sentence of a process that is killed because of this."""


def is_restarted() -> bool:
    """Return whether ``torchrun --max-restarts`` has started the processes again after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0


def own_cores() -> int:
    """Return the number of CPU cores that this process may use: its share if others train with it on this machine."""
    # Lightning Fabric, which starts processes on one machine only, does not set the first variable.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)
    return max(1, usable_cores() // processes)


def usable_cores() -> int:
    """Return the number of CPU cores that processes started here may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_process() -> bool:
    """Return whether this is the only process, or the first of those that train together.

    Only this process prints, and writes to the run folder. ``torchrun`` and Lightning Fabric set these variables.
    """
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0) == 0
