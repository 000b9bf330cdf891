import dataclasses
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import resnet18

import peerdistill
from peerdistill import backbones
from peerdistill.deploy import ExportReport, LeaderCard, export, load_leader
from peerdistill.errors import UserError


@pytest.fixture
def leader_file(reports: dict[str, ExportReport], tmp_path: Path) -> Path:
    return Path(shutil.copy(reports["safetensors"].path, tmp_path))


def test_a_loaded_leader_has_its_weights_and_card_and_is_in_evaluation_mode(
    leader_file: Path, resnet: nn.Module, card: LeaderCard, digits: Tensor
):
    leader, card_read = load_leader(leader_file)
    assert card_read == card
    assert not any(module.training for module in leader.modules())
    assert torch.equal(leader.network(digits / 255), resnet(digits / 255))


def test_a_loaded_leader_normalises_the_images_of_its_card(leader_file: Path, resnet: nn.Module, digit_files):
    leader, card = load_leader(leader_file)
    images = torch.from_numpy(card.images([digit_files[0], str(digit_files[1])]))
    assert images.max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(leader(images), resnet((images - 0.31) / 0.37))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fc.bias", float("nan")),
        ("fc.bias", float("inf")),
        ("fc.bias", float("-inf")),
        ("stem.1.running_var", float("nan")),
        ("stem.1.running_mean", float("inf")),
    ],
)
def test_values_that_are_not_finite_are_refused(leader_file: Path, card: LeaderCard, name: str, value: float):
    weights = load_file(leader_file)
    weights[name].view(-1)[0] = value
    save_file(weights, leader_file, metadata=card.to_metadata())
    with pytest.raises(UserError, match=f"leader.safetensors has values that are not finite in '{name}'"):
        load_leader(leader_file)


def test_weights_of_another_type_are_refused(leader_file: Path, card: LeaderCard):
    weights = load_file(leader_file)
    weights["fc.bias"] = weights["fc.bias"].int()
    save_file(weights, leader_file, metadata=card.to_metadata())
    with pytest.raises(UserError, match=r"not hold weights of resnet8: 'fc.bias' is torch.int32, not torch.float32"):
        load_leader(leader_file)


def test_weights_in_half_precision_are_loaded(leader_file: Path, card: LeaderCard, resnet: nn.Module):
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in load_file(leader_file).items()},
        leader_file,
        metadata=card.to_metadata(),
    )
    leader, _ = load_leader(leader_file)
    torch.testing.assert_close(leader.network.fc.weight, resnet.fc.weight, atol=1e-3, rtol=1e-3)


def test_torchvision_s_network_loads_the_file_strictly(tmp_path: Path):
    torch.manual_seed(0)
    network = resnet18(num_classes=3).to(memory_format=torch.channels_last).eval()
    card = LeaderCard("resnet18", ("a", "b", "c"), 40, 3, (0.5,) * 3, (0.2,) * 3, 0.875)
    pictures = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    report = export(network, card, tmp_path / "r.safetensors", format="safetensors", pictures=pictures)
    stock = resnet18(num_classes=3)
    stock.load_state_dict(load_file(report.path), strict=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(stock.state_dict()[name], tensor)


def test_loading_does_not_change_the_random_state(leader_file: Path):
    before = torch.get_rng_state()
    load_leader(leader_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_error_names_a_missing_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"absent.safetensors does not exist"):
        load_leader(tmp_path / "absent.safetensors")


def test_the_error_names_a_file_of_another_kind(tmp_path: Path):
    (tmp_path / "text.safetensors").write_text("not a model, whatever its name says")
    with pytest.raises(UserError, match=r"text.safetensors is not a safetensors file"):
        load_leader(tmp_path / "text.safetensors")


def test_safetensors_of_other_tools_have_no_card(tmp_path: Path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match=r"foreign.safetensors was not exported by peerdistill"):
        load_leader(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "resnet32"}, r"not hold weights of resnet32: .* is absent and should be of shape"),
        ({"backbone": "resnet9"}, "unknown backbone 'resnet9'"),
        (
            {"class_names": ("yes", "no")},
            r"not hold weights of resnet8: 'fc.bias' is of shape \(10,\) and should be of shape \(2,\)",
        ),
    ],
)
def test_card_and_weights_must_match(leader_file: Path, card: LeaderCard, change: dict, message: str):
    other = dataclasses.replace(card, **change)
    save_file(load_file(leader_file), leader_file, metadata=other.to_metadata())
    with pytest.raises(UserError, match=message):
        load_leader(leader_file)


def test_timm_loads_the_file_of_a_timm_network(tmp_path: Path):
    name = "mobilenetv3_small_050"
    network = timm.create_model(name, num_classes=3).eval()
    card = LeaderCard(f"timm:{name}", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.2,) * 3, 0.875)
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    path = export(network, card, tmp_path / "leader.safetensors", format="safetensors", pictures=pictures).path
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = network(images)
        assert torch.equal(timm.create_model(name, num_classes=3, checkpoint_path=path).eval()(images), expected)
        assert torch.equal(peerdistill.load_leader(path)[0].network(images), expected)


def test_a_file_does_not_decide_which_code_is_run(leader_file: Path, card: LeaderCard, resnet: nn.Module):
    other = dataclasses.replace(card, backbone="os:abort")
    save_file(load_file(leader_file), leader_file, metadata=other.to_metadata())
    with pytest.raises(UserError, match="a network of your own code, os:abort: build it in Python and pass it to"):
        load_leader(leader_file)
    given = backbones.build("resnet8", classes=10, in_channels=1).network()
    leader, _ = load_leader(leader_file, given)
    assert leader.network is given
    assert all(map(torch.equal, given.state_dict().values(), resnet.state_dict().values()))
