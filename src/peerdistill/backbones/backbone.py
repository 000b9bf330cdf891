"""The definition of a backbone: a function that makes the stock network, and the stages of its forward pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.errors import UserError

PHOTO_SIZE = 224
"""Default image side in pixels of networks for photographs."""


@dataclass(frozen=True)
class PretrainedInput:
    """The images that pretrained weights expect.

    Attributes:
        image_size: Side in pixels.
        mean: Mean of each channel, for pixels in 0..1.
        std: Standard deviation of each channel, for pixels in 0..1.
        crop: Fraction of the shorter side that the central crop of evaluation keeps.
        interpolation: How pictures are resized, such as "bilinear" or "bicubic".
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float
    interpolation: str


@dataclass(frozen=True)
class Stage:
    """A named sequence of consecutive submodules of a network.

    Attributes:
        name: Name used in options, for example ``share_until="layer2"``.
        modules: Attribute names of the network's submodules, in forward order. Peers that share the stage share these
            modules.
    """

    name: str
    modules: tuple[str, ...]

    def contains(self, path: str) -> bool:
        """Return whether a module or parameter of the network belongs to this stage."""
        return any(_is_inside(path, module) for module in self.modules)

    def __call__(self, network: nn.Module, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Run this stage of ``network`` on ``x``."""
        for module in self.modules:
            x = network.get_submodule(module)(x)
        return x

    def frozen(self) -> "Stage":
        """Return the stage as it runs in evaluation mode, whatever the mode of the network is.

        The modes of its modules are their own matter.
        """
        return self


@dataclass(frozen=True)
class Backbone:
    """A network as an ordered list of stages and a classifier.

    Running all stages, flattening and applying the classifier computes exactly the stock network's forward pass. A test
    checks this for every backbone.

    Attributes:
        name: Name in the catalog.
        network: Makes a stock network with fresh random weights.
        stages: Stages in forward order. The last one returns pooled features (batch, width, ...), not yet flattened.
        classifier: Attribute name of the network's last linear layer.
        share_until: Last stage that branches share by default if they part early, as in MCL-OKD.
        image_shape: Channels, height and width of the images the network is designed for. Others may work too.
        unsplittable: Reason why the forward pass cannot be split into stages; None if it can.
        pretrained: Downloads the network with the library's pretrained weights. Its classifier may have any width.
        share_until_late: Last stage that branches share by default if they part late, as in ONE and OKDDip. None means
            the stage after ``share_until``, unless that is the last stage.
        freeze_until: Last of the frozen stages, see :meth:`frozen`; None if all stages learn.

    Example:
        >>> from torch import nn
        >>> from peerdistill.backbones import Backbone, Stage
        >>> def network():
        ...     pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        ...     return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3), pool, nn.Linear(16, 10))
        >>> stages = (Stage("stem", ("0",)), Stage("top", ("1", "2")))
        >>> backbone = Backbone("tiny", network, stages, classifier="3", share_until="stem")
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
    freeze_until: str | None = None

    def frozen(self, until: str) -> "Backbone":
        """Return the backbone with the stages up to and including ``until`` frozen: they run in evaluation mode.

        Raises:
            UserError: If there is no such stage.
        """
        count = self.count_until(until)
        stages = (*(stage.frozen() for stage in self.stages[:count]), *self.stages[count:])
        return replace(self, stages=stages, freeze_until=until)

    def count_until(self, name: str) -> int:
        """Return the number of stages up to and including ``name``.

        Raises:
            UserError: If there is no such stage.
        """
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise UserError(f"{self.name} has no stage '{name}': its stages are {', '.join(names)}")
        return names.index(name) + 1

    def is_frozen(self, path: str) -> bool:
        """Return whether a module or parameter of the network belongs to a frozen stage.

        If all stages are frozen, this is everything but the classifier. Otherwise the network itself, with the path "",
        is not frozen.
        """
        if self.freeze_until is None:
            return False
        frozen = self.stages[: self.count_until(self.freeze_until)]
        if len(frozen) == len(self.stages):
            return not _is_inside(path, self.classifier)
        return any(stage.contains(path) for stage in frozen)


def _is_inside(path: str, module: str) -> bool:
    return f"{path}.".startswith(f"{module}.")
