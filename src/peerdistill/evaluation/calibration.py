"""Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017."""

import math

import numpy as np
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from peerdistill.errors import UserError

LARGEST_TEMPERATURE = 100.0
"""Temperatures are searched from the inverse of this number up to it."""

_AT_LIMIT = 1e-3
"""The logarithm of a temperature that is this close to a limit would be beyond it."""


def calibrated_temperature(
    logits: Float[np.ndarray, "samples classes"], labels: Int64[np.ndarray, " samples"]
) -> float:
    """Return the temperature that minimises the negative log-likelihood of the labels.

    Args:
        logits: Class logits of images that the network was not trained on.
        labels: Class of every image.

    Returns:
        The temperature T; the calibrated probabilities are the softmax of ``logits / T``. It is above 1 for a network
        that is too confident.

    Raises:
        UserError: Logits are not finite, or no temperature between the limits fits best. The latter happens if every
            image is classified correctly, or if the classes fit the images no better than chance.

    Example:
        >>> logits = np.array([[4.0, 0.0]] * 4)  # 98 % for the first class, which is right 3 times out of 4
        >>> round(calibrated_temperature(logits, np.array([0, 0, 0, 1])), 3)  # 4 / log(3)
        3.641
    """
    if not np.isfinite(logits).all():
        raise UserError("the leader cannot be calibrated: its logits are not finite for some validation images")
    rows, logits = np.arange(len(labels)), logits.astype(np.float64)
    if (logits[rows, labels] >= logits.max(1)).all():
        raise UserError(
            f"the leader cannot be calibrated: it classifies all {len(labels)} validation images correctly, so no "
            "temperature fits best; use more validation images or leave out --calibrate"
        )

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / math.exp(log_temperature), axis=1)[rows, labels].mean()

    # The loss is convex in 1 / T, so it has one minimum.
    limit = math.log(LARGEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-7}).x
    if abs(found) > limit - _AT_LIMIT:
        raise UserError(
            f"the leader cannot be calibrated: no temperature from {1 / LARGEST_TEMPERATURE:g} to "
            f"{LARGEST_TEMPERATURE:g} fits {len(labels)} validation images best; use more validation images, train for "
            "longer or leave out --calibrate"
        )
    return math.exp(found)
