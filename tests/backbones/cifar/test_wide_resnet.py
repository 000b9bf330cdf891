import pytest


def block(tensors, x, stride, projects):
    active = tensors.normalisation(x).clamp(min=0)
    made = tensors.preactivated(tensors.convolution(active, stride=stride, padding=1), padding=1)
    return made + (tensors.convolution(active, stride=stride) if projects else x)


@pytest.mark.parametrize(("name", "blocks"), [("wrn_16_2", 2), ("wrn_40_2", 6)])
def test_the_forward_pass_agrees_with_the_formula(agrees, name, blocks):
    def feature_maps(tensors, images):
        x = tensors.convolution(images, padding=1)
        for stride in (1, 2, 2):
            x = block(tensors, x, stride, projects=True)
            for _ in range(blocks - 1):
                x = block(tensors, x, 1, projects=False)
        return tensors.normalisation(x).clamp(min=0)

    agrees(name, feature_maps)
