"""The moving average of the leader's weights, a network of its own that is evaluated and can be deployed."""

from typing import Any

from torch import nn

from peerdistill.cohort import Cohort

# Of 2/3 and 3/4, timm recommends this one for runs of less than a million steps.
_WARMUP_POWER = 3 / 4


class LeaderEMA:
    """An exponential moving average (EMA) of the leader's weights, by ``timm.utils.ModelEmaV3``.

    After optimizer step g, ``ema <- phi ema + (1 - phi) weights`` with ``phi = min(decay, 1 - g^(-3/4))``: at first it
    averages few steps, so the initial weights do not stay in it, also in short runs. Running statistics of batch norm
    are averaged like weights, as timm does by default and PyTorch advises (``torch.optim.swa_utils``). Other buffers,
    such as counters, are copied.

    Args:
        cohort: The peers, in their final memory format and on their device.
        decay: Largest value of phi, above 0 and below 1.

    Attributes:
        network: The averaged leader, in evaluation mode.
    """

    def __init__(self, cohort: Cohort, decay: float):
        from timm.utils.model_ema import ModelEmaV3  # slow import, needed only with this option

        self._leader = cohort.networks[-1]
        self._average = ModelEmaV3(self._leader, decay, use_warmup=True, warmup_power=_WARMUP_POWER)
        self.network: nn.Module = self._average.module.requires_grad_(False)

    def update(self, step: int) -> None:
        """Include the weights after optimizer step ``step``, counted from 1."""
        self._average.update(self._leader, step)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the averaged leader, under the names of the stock network."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state that :meth:`state_dict` returned."""
        self.network.load_state_dict(state)
