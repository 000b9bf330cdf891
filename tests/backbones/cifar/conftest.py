"""An independent definition of a network: formulas that are applied to its tensors in double precision."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill import backbones


class Tensors:
    """A network's tensors, taken one by one in the order of its ``state_dict``."""

    def __init__(self, network: nn.Module):
        self._rest: Iterator[Tensor] = iter(network.state_dict().values())

    def take(self) -> Tensor:
        return next(self._rest)

    def convolution(self, x: Tensor, **options) -> Tensor:
        return F.conv2d(x, self.take(), **options)

    def linear(self, x: Tensor) -> Tensor:
        weight, bias = self.take(), self.take()
        return x @ weight.T + bias

    def normalisation(self, x: Tensor) -> Tensor:
        weight, bias, mean, variance, _ = (self.take().reshape(-1, *[1] * (x.dim() - 2)) for _ in range(5))
        return weight * (x - mean) / (variance + 1e-5).sqrt() + bias

    def activated(self, x: Tensor, **options) -> Tensor:
        """Convolution, normalisation, ReLU."""
        return self.normalisation(self.convolution(x, **options)).clamp(min=0)

    def preactivated(self, x: Tensor, **options) -> Tensor:
        """Normalisation, ReLU, convolution."""
        return self.convolution(self.normalisation(x).clamp(min=0), **options)

    def is_empty(self) -> bool:
        return next(self._rest, None) is None


@pytest.fixture
def agrees() -> Callable[[str, Callable[[Tensors, Tensor], Tensor]], None]:
    """Return a function that compares a backbone with a formula of its last feature maps."""

    def check(name: str, feature_maps: Callable[[Tensors, Tensor], Tensor]) -> None:
        network = _with_statistics(backbones.build(name, classes=7).network().double())
        images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
        tensors = Tensors(network)
        with torch.no_grad():
            expected = tensors.linear(feature_maps(tensors, images).mean((2, 3)))
            assert tensors.is_empty()
            torch.testing.assert_close(network(images), expected)

    return check


@pytest.fixture
def agrees_with_reference() -> Callable[[str, nn.Module], None]:
    """Return a function that compares a backbone for 7 classes with another implementation."""

    def check(name: str, reference: nn.Module) -> None:
        network = backbones.build(name, classes=7).network()
        with torch.no_grad():
            network(torch.randn(4, 3, 32, 32))  # running statistics other than 0 and 1
        # Both state_dicts are in the order of the forward pass.
        reference.load_state_dict(dict(zip(reference.state_dict(), network.state_dict().values(), strict=True)))
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(network.eval()(images), reference.eval()(images))

    return check


def _with_statistics(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode, with batch statistics of random images and nonzero biases."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = None  # cumulative mean over batches; there is only one
        network.train()(torch.randn(4, 3, 32, 32, dtype=torch.float64))
    return network.eval()
