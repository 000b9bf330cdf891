"""Some of the images of a set, the same in every call."""

import numpy as np
from jaxtyping import Int, Int64


def spaced_rows(labels: Int[np.ndarray, " images"], most: int) -> Int64[np.ndarray, " rows"]:
    """Return at most ``most`` rows in ascending order, evenly spaced over the images sorted by class.

    Every class keeps its share of the images, up to one image.

    Example:
        >>> spaced_rows(np.array([0, 1, 0, 1, 0, 1]), most=4)
        array([0, 1, 2, 3])
    """
    count = min(most, len(labels))
    order = np.argsort(labels, kind="stable")
    return np.sort(order[np.arange(count) * len(labels) // max(count, 1)])
