import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from peerdistill import Cohort
from peerdistill.backbones import Backbone, Stage
from peerdistill.deploy import average_of_peers
from peerdistill.errors import UserError


def trained_cohort(backbone: str | Backbone = "resnet8", peers: int = 3, **how) -> Cohort:
    """Return peers in evaluation mode whose running statistics differ, as after training."""
    torch.manual_seed(0)
    cohort = Cohort(backbone, classes=4, peers=peers, **how)
    for _ in range(2):
        cohort(torch.randn(16, *cohort.backbone.image_shape))
    return cohort.eval()


def batches(cohort: Cohort, count: int = 3) -> Tensor:
    return torch.randn(count, 16, *cohort.backbone.image_shape, generator=torch.Generator().manual_seed(1))


def no_images() -> Iterator[Tensor]:
    raise AssertionError("images were read")
    yield


def test_parameters_are_the_mean_and_statistics_those_of_update_bn():
    cohort = trained_cohort(sharing="network")
    images = batches(cohort)
    average = average_of_peers(cohort, images)
    expected = copy.deepcopy(cohort.networks[-1])
    for name, parameter in expected.named_parameters():
        peers = [network.get_parameter(name).double() for network in cohort.networks]
        parameter.data = ((peers[0] + peers[1] + peers[2]) / 3).float()
    update_bn(images, expected)
    found, wanted = average.state_dict(), expected.state_dict()
    assert list(found) == list(wanted)  # a plain network
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
    assert not any(module.training for module in average.modules())
    torch.testing.assert_close(average(images[0]), expected.eval()(images[0]), rtol=1e-3, atol=1e-4)


def test_peers_are_not_changed():
    cohort = trained_cohort(sharing="network")
    before = copy.deepcopy(cohort.state_dict())
    average_of_peers(cohort, batches(cohort))
    assert all(torch.equal(tensor, before[name]) for name, tensor in cohort.state_dict().items())


def test_a_shared_stem_stays_as_it_is():
    cohort = trained_cohort(sharing="branch")
    average, leader = average_of_peers(cohort, batches(cohort)), cohort.leader()
    shared = {
        path
        for stage, copies in zip(cohort.backbone.stages, cohort.copies, strict=True)
        if copies == 1
        for path in stage.modules
    }
    assert shared
    own = [name for name, tensor in leader.state_dict().items() if not torch.equal(tensor, average.state_dict()[name])]
    assert own
    assert not any(name == path or name.startswith(f"{path}.") for name in own for path in shared)


def test_the_average_of_equal_peers_is_the_peer_and_needs_no_images():
    cohort = trained_cohort(sharing="network")
    for network in cohort.networks:
        network.load_state_dict(cohort.networks[0].state_dict())
    average = average_of_peers(cohort, no_images())
    assert all(torch.equal(tensor, cohort.leader().state_dict()[name]) for name, tensor in average.state_dict().items())


class Counting(nn.Module):
    """A network with batch normalisation, dropout and an integer buffer."""

    def __init__(self, number: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.Dropout(0.5), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)
        )
        self.fc = nn.Linear(8, 4)
        self.register_buffer("number", torch.tensor(number))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.body(images).flatten(1))


def counting_cohort() -> Cohort:
    numbers = iter((5, 7, 11))
    stages = (Stage("body", ("body",)),)
    backbone = Backbone(
        "counting", lambda: Counting(next(numbers)), stages, "fc", share_until="body", image_shape=(1, 8, 8)
    )
    return trained_cohort(backbone, sharing="network")


def test_integer_buffers_are_the_leaders_and_dropout_is_off():
    cohort = counting_cohort()
    images = batches(cohort)
    state = torch.get_rng_state()
    first, second = (average_of_peers(cohort, images).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert first["number"].item() == 11
    assert first["body.2.num_batches_tracked"].item() == len(images)
    # Without dropout, the layer receives the output of the convolution.
    weight, bias = first["body.0.weight"], first["body.0.bias"]
    means = torch.stack([nn.functional.conv2d(batch, weight, bias).mean((0, 2, 3)) for batch in images])
    torch.testing.assert_close(first["body.2.running_mean"], means.mean(0))


def test_peers_with_different_backbones_have_no_average():
    cohort = Cohort("resnet8", classes=4, peers=2, sharing="network", peer_backbones=["vgg8"])
    with pytest.raises(UserError, match="only peers with the same backbone have an average, and these have vgg8, resn"):
        average_of_peers(cohort, no_images())


def test_batch_normalisation_needs_images():
    cohort = trained_cohort(sharing="network")
    with pytest.raises(UserError, match="needs training images for batch normalisation, and there are none"):
        average_of_peers(cohort, [])
