# Channels and stride of every block, for a width multiplier of 0.5.
BLOCKS = [(8, 1)]
BLOCKS += [(12, 1), (12, 1)]
BLOCKS += [(16, 2), (16, 1), (16, 1)]
BLOCKS += [(32, 2), (32, 1), (32, 1), (32, 1)]
BLOCKS += [(48, 1), (48, 1), (48, 1)]
BLOCKS += [(80, 2), (80, 1), (80, 1)]
BLOCKS += [(160, 1)]


def feature_maps(tensors, images):
    x = tensors.activated(images, stride=2, padding=1)
    for channels, stride in BLOCKS:
        wide = tensors.activated(x)
        assert wide.shape[1] == x.shape[1] * (1 if x.shape[1] == 16 and channels == 8 else 6)
        made = tensors.activated(wide, stride=stride, padding=1, groups=wide.shape[1])
        made = tensors.normalisation(tensors.convolution(made))
        assert made.shape[1] == channels
        x = x + made if made.shape == x.shape else made
    assert x.shape[1:] == (160, 2, 2)
    return tensors.activated(x)


def test_the_forward_pass_agrees_with_the_formula(agrees):
    agrees("mobilenetv2_half", feature_maps)
