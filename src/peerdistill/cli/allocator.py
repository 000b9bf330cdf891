"""Settings of the C library's allocator that make training on a CPU faster."""

import os
import sys

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _NONE = -1, 0
_USER_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Make this process keep freed memory for its next step instead of returning it to the system.

    glibc returns each large block as soon as it is freed, so the system has to find and clear its pages again in the
    next step. This takes up to two fifths of a training step on a CPU (docs/performance.md). With this setting, the
    process keeps its peak memory. Nothing is changed if one of glibc's own environment variables for this is set.

    Returns:
        Whether the setting is active; False with any C library but glibc.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _USER_SETTINGS):
        return False
    import ctypes

    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _NEVER) and library.mallopt(_MMAP_MAX, _NONE))
