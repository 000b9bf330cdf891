"""The state of a method in a checkpoint, and the search for values that are not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from peerdistill.terms import Method

_ENSEMBLE = "ensemble."  # prefix of the names of its state


def divided_state(method: Method) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of the ensemble of a method, under its own names, and the rest of the state of the method."""
    state = method.state_dict()
    own = {name: part for name, part in state.items() if name.startswith(_ENSEMBLE)}
    rest = {name: part for name, part in state.items() if name not in own}
    return {name.removeprefix(_ENSEMBLE): part for name, part in own.items()}, rest


def load_method(method: Method, state: Mapping[str, Any]) -> None:
    """Restore the method of a checkpoint.

    Raises:
        RuntimeError: The state is that of another method.
    """
    ensemble = {f"{_ENSEMBLE}{name}": part for name, part in state["ensemble"].items()}
    method.load_state_dict({**state["method"], **ensemble})


def first_not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Return the name of the first floating-point tensor that contains NaN or infinity, or None.

    Minus infinity is allowed: buffers use it to mask attention.
    """
    floating = {
        name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and tensor.is_floating_point()
    }
    if nn.utils.get_total_norm(floating.values()).isfinite():
        return None
    return next((name for name, tensor in floating.items() if not (tensor < torch.inf).all()), None)
