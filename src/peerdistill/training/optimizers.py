"""Optimizers and their parameter groups."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn, optim

from peerdistill.cohort import Cohort
from peerdistill.errors import UserError, cause, unknown_name
from peerdistill.training.config import OptimizerConfig

RATE_FACTOR = "rate_factor"
"""Key in a parameter group: its multiple of the run's learning rate."""

_ADAMS: dict[str, type[optim.Adam]] = {"adam": optim.Adam, "adamw": optim.AdamW}

# Of timm's optimizers, those that need CUDA libraries, and one that needs second derivatives.
_UNUSABLE = ("bnb", "fused", "adahessian")


def parameter_groups(cohort: Cohort, others: Iterable[nn.Parameter], config: OptimizerConfig) -> list[dict[str, Any]]:
    """Return the parameters that learn, grouped by their multiple of the learning rate and their weight decay.

    The classifiers and ``others`` have the multiple ``config.new_layers``. A stage that is k stages below the
    classifier has ``config.layer_decay ** k`` (Clark et al., ICLR 2020; Bao et al., ICLR 2022), and so have the stages
    of all peers at the same depth. Parameters outside the stages, such as position embeddings, belong to the first
    stage. Without ``config.decay_all``, one-dimensional parameters have no weight decay: those of normalisation layers
    and biases.

    With the defaults there is one group.

    Args:
        cohort: The peers. Parameters that several peers share are included once.
        others: Parameters of the method.
        config: Options of the optimizer.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    factors = _rate_factors(cohort, config)
    factors |= dict.fromkeys(others, config.new_layers)
    for parameter, factor in factors.items():
        if parameter.requires_grad:
            decays = config.decay_all or parameter.ndim > 1
            groups.setdefault((factor, decays), []).append(parameter)
    return [
        {"params": parameters, RATE_FACTOR: factor, **({} if decays else {"weight_decay": 0.0})}
        for (factor, decays), parameters in groups.items()
    ]


def _rate_factors(cohort: Cohort, config: OptimizerConfig) -> dict[nn.Parameter, float]:
    """Return the multiple of the learning rate of every parameter of a cohort."""
    factors = {}
    for network, backbone in zip(cohort.networks, cohort.backbones, strict=True):
        for name, parameter in network.named_parameters():
            if name.startswith(f"{backbone.classifier}."):
                factors[parameter] = config.new_layers
                continue
            depth = next((depth for depth, stage in enumerate(backbone.stages) if stage.contains(name)), 0)
            factors[parameter] = config.layer_decay ** (len(backbone.stages) - depth)
    return {parameter: factors[parameter] for parameter in cohort.parameters()}


def make_optimizer(
    groups: Iterable[Mapping[str, Any]], config: OptimizerConfig, lr: float, *, fused: bool = True
) -> optim.Optimizer:
    """Return an optimizer, with a fused step where PyTorch has one, unless ``fused`` is false.

    Args:
        groups: Parameter groups, see :func:`parameter_groups`.
        config: Options of the optimizer.
        lr: Learning rate. That of a group is the multiple that it names under ``RATE_FACTOR``.
        fused: Whether PyTorch's optimizers update all parameters at once.

    Raises:
        UserError: No optimizer has this name, or it needs a package that is missing.
    """
    own = [{**group, "lr": lr * group.get(RATE_FACTOR, 1.0)} for group in groups]
    decay, momentum = config.weight_decay, config.momentum
    if config.name == "sgd":
        nesterov = config.nesterov and momentum > 0
        return optim.SGD(own, lr, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused)
    if config.name in _ADAMS:
        return _ADAMS[config.name](own, lr, weight_decay=decay, fused=fused)
    return _of_timm(config.name, own, lr=lr, weight_decay=decay, momentum=momentum)


def _of_timm(name: str, groups: list[Any], **options: Any) -> optim.Optimizer:
    # Importing it takes a second. It does not declare its public names to type checkers.
    from timm.optim import create_optimizer_v2, list_optimizers  # pyright: ignore[reportPrivateImportUsage]

    known = [str(one) for one in list_optimizers() if not str(one).startswith(_UNUSABLE)]
    if name not in known:
        raise unknown_name("optimizer.name", name, known)
    try:
        return create_optimizer_v2(groups, name, **options)
    except Exception as error:  # an optimizer may need another package, or raise anything
        raise UserError(f"optimizer.name {name} cannot be used: {cause(error)}") from error


def complete_momentum(optimizer: optim.Optimizer) -> None:
    """Give the weights that had no gradient before a momentum of 0, with which their first step is that of a new run.

    PyTorch's fused SGD fails if only some of the weights have a momentum. Other optimizers do this themselves.
    """
    if not isinstance(optimizer, optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


def load_optimizer_state(optimizer: optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state`` and give it the memory format of the parameters, which the fused step relies on."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
