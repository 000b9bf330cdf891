import torch
from torch import Tensor, nn

from peerdistill.deploy.normalised import Normalised


def test_the_module_normalises_exactly_as_done_before_it(tiny: nn.Module, digits: Tensor):
    images = digits.float() / 255
    inside = Normalised(tiny, (0.31,), (0.37,))
    assert torch.equal(inside(images), tiny((images - 0.31) / torch.tensor(0.37)))


def test_each_channel_has_its_own_mean_and_std():
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    images = torch.rand(2, 3, 4, 5)
    normalised = Normalised(nn.Flatten(), mean, std)(images).view_as(images)
    for k in range(3):
        torch.testing.assert_close(normalised[:, k], (images[:, k] - mean[k]) / std[k])


def test_a_temperature_divides_the_logits(tiny: nn.Module, digits: Tensor):
    images = digits.float() / 255
    plain, calibrated = (Normalised(tiny, (0.31,), (0.37,), temperature) for temperature in (None, 1.7))
    torch.testing.assert_close(calibrated(images), plain(images) / 1.7)
    assert list(calibrated.state_dict()) == list(plain.state_dict())
