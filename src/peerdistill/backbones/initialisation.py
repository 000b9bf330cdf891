"""Initial weights of the networks for 32 x 32 images, as in the released code of each family."""

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Initialisation:
    """What a family changes in PyTorch's default initialisation.

    Attributes:
        convolutions: Draw convolution weights from N(0, 2 / fan) (He et al., ICCV 2015), where fan is "fan_in" or
            "fan_out", and set biases to 0. None keeps PyTorch's default.
        classifier: Standard deviation of the classifier's weights, drawn with mean 0. None keeps PyTorch's default.
        zero_bias: Whether the classifier's bias starts at 0.
    """

    convolutions: Literal["fan_in", "fan_out"] | None = "fan_out"
    classifier: float | None = None
    zero_bias: bool = False

    def apply(self, network: nn.Module, classifier: nn.Linear) -> None:
        """Initialise ``network`` and its classifier in place."""
        for module in network.modules():
            if self.convolutions is not None and isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=self.convolutions, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.classifier is not None:
            nn.init.normal_(classifier.weight, std=self.classifier)
        if self.zero_bias:
            nn.init.zeros_(classifier.bias)


RESNET = Initialisation()
"""winycg/MCL-OKD (``models/resnet.py``) and HobbitLong/RepDistiller (``models/resnet.py``)."""

WIDE_RESNET = Initialisation(zero_bias=True)
"""HobbitLong/RepDistiller (``models/wrn.py``)."""

NARROW_CLASSIFIER = Initialisation(classifier=0.01, zero_bias=True)
"""VGG and MobileNetV2: winycg/MCL-OKD (``models/vgg.py``), HobbitLong/RepDistiller (``models/vgg.py``,
``models/mobilenetv2.py``)."""

DENSENET = Initialisation(convolutions="fan_in", zero_bias=True)
"""winycg/MCL-OKD (``models/densenet.py``)."""

PYTORCH = Initialisation(convolutions=None)
"""HCGNet and ShuffleNetV1: winycg/HCGNet (``models/HCGNet_CIFAR.py``), HobbitLong/RepDistiller
(``models/ShuffleNetv1.py``)."""
