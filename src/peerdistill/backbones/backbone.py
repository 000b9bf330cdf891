"""What a backbone is: how to make the stock network, and how its forward pass falls into stages."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

USUAL_SIZE = 224
"""Side in pixels of the images that networks for photographs are made for."""


@dataclass(frozen=True)
class Stage:
    """A named run of consecutive submodules of a network.

    Attributes:
        name: What users call it, for example in ``share_until="layer2"``.
        modules: Attribute names of the network's submodules, in the order of its forward pass. Peers that share the
            stage share these.
    """

    name: str
    modules: tuple[str, ...]

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Run this part of ``network`` on ``x``."""
        for module in self.modules:
            x = network.get_submodule(module)(x)
        return x


@dataclass(frozen=True)
class Backbone:
    """A network as an ordered list of stages and a classifier.

    Running all stages, flattening and applying the classifier is exactly the stock network's own forward pass;
    a test holds every backbone to that.

    Attributes:
        name: The catalogue's name.
        network: Makes a stock network with fresh random weights.
        stages: In forward order. The last one ends in pooled features, (batch, width, ...) before flattening.
        classifier: Attribute name of the network's last linear layer.
        share_until: The last stage that branches share where they part early, as those of MCL-OKD do.
        share_until_late: The last stage that they share where they part late, as those of ONE and OKDDip do; by
            default the next one after ``share_until``, and never the last of all.
        image_shape: Channels, height and width of the images it is made for; others may do as well.
        unsplittable: Why its forward pass is one single stage, where it is.
        pretrained: Fetches the network with weights that its library offers; its classifier may be of any width.
    """

    name: str
    network: Callable[[], nn.Module]
    stages: tuple[Stage, ...]
    classifier: str
    share_until: str
    image_shape: tuple[int, int, int] = (3, 32, 32)
    unsplittable: str | None = None
    pretrained: Callable[[], nn.Module] | None = None
    share_until_late: str | None = None
