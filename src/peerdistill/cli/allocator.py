"""The C library's allocator, as tensors on a CPU need it."""

import os
import sys

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _NONE = -1, 0
_CHOICES_OF_THE_USER = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next step, instead of handing it back to the system.

    glibc gives each large block back as soon as it is freed, so that the system must find and clear its pages again in
    the next step: up to two fifths of a training step on a CPU (docs/performance.md). The process then always holds the
    most that it has needed. Whoever sets one of glibc's own environment variables for this has chosen otherwise.

    Returns:
        Whether it is so now; False where nothing was changed, as with any other C library.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _CHOICES_OF_THE_USER):
        return False
    import ctypes

    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _NEVER) and library.mallopt(_MMAP_MAX, _NONE))
