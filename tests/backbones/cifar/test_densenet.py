from torch import nn
from torchvision.models import densenet

CLASSES = 7


def reference():
    network = densenet.DenseNet(growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=CLASSES)
    network.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    for of_large_images in ("norm0", "relu0", "pool0"):
        delattr(network.features, of_large_images)
    return network


def test_agrees_with_a_network_of_torchvisions_blocks(agrees_with_reference):
    agrees_with_reference("densenet40_12", reference())
