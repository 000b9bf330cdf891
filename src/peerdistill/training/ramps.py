"""A warning about weights that ramp up too slowly for a run."""

import warnings

from peerdistill.errors import PeerdistillWarning
from peerdistill.terms import Method

# The papers ramp up weights over this share of a run.
_RAMP_SHARE = 80 / 300

_ENOUGH = 1.0  # what most papers' weights reach; a larger weight that is still ramping up then does something, too


def warn_about_long_ramps(method: Method, epochs: int) -> None:
    """Warn about weights that reach neither their final value nor 1 in this number of epochs."""
    ramps = {name: ramp for name, ramp in method.ramps.items() if ramp.epochs > epochs}
    long = {name: ramp for name, ramp in ramps.items() if ramp.at(epochs - 1) < min(_ENOUGH, ramp.weight)}
    if not long:
        return
    ramp = next(iter(long.values()))
    reached = ramp.at(epochs - 1) / ramp.weight
    names = " and ".join(f"'{name}'" for name in long)
    warnings.warn(
        f"the weight of {names} ramps up over {ramp.epochs} epochs, but the run has {epochs}: it ends at {reached:.2g} "
        f"of its value. Set ramp to {max(1, round(_RAMP_SHARE * epochs))} for the same share of the run as 80 of 300 "
        "epochs",
        category=PeerdistillWarning,
        stacklevel=3,
    )
