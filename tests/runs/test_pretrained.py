"""Peers that start from weights which were trained before."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from peerdistill import backbones
from peerdistill.cohort import Cohort
from peerdistill.config import CohortConfig, parse
from peerdistill.errors import UserError
from peerdistill.runs import Run, restore
from peerdistill.runs.pretrained import start_from_weights


@pytest.fixture
def weights_file(tmp_path):
    """The weights of a resnet8 for seven classes."""
    torch.manual_seed(3)
    network = backbones.build("resnet8", classes=7, in_channels=1).network()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def cohort(**options):
    return Cohort("resnet8", 3, peers=2, in_channels=1, **options)


@pytest.mark.parametrize("sharing", ["network", "branch"])
def test_all_peers_start_from_the_file_with_classifiers_of_their_own(weights_file, sharing):
    peers = cohort(sharing=sharing)
    start_from_weights(peers, CohortConfig(weights=str(weights_file)))
    for network in peers.networks:
        for name, tensor in load_file(weights_file).items():
            if not name.startswith("fc."):
                assert torch.equal(network.state_dict()[name], tensor)
    classifiers = [network.fc for network in peers.networks]
    assert not torch.equal(*(one.weight for one in classifiers))
    assert all(0.008 < one.weight.std() < 0.012 and one.weight.mean().abs() < 0.003 for one in classifiers)
    assert not any(one.bias.any() for one in classifiers)


@pytest.mark.parametrize("name", ["layer1.0.body.1.running_var", "stem.0.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_in_buffers_too(weights_file, name, value):
    weights = load_file(weights_file)
    name = name if name in weights else next(key for key in weights if key.endswith(name.rpartition(".")[2]))
    weights[name].view(-1)[0] = value
    save_file(weights, weights_file)
    with pytest.raises(UserError, match=f"contains values that are not finite in '{name}'"):
        start_from_weights(cohort(), CohortConfig(weights=str(weights_file)))


def test_a_run_starts_there_and_goes_on_from_its_own_checkpoint(weights_file, tmp_path, quick_config, train_quickly):
    config = quick_config(weights=weights_file, method="baseline", epochs=1, lr="1e-12")
    train_quickly(config, tmp_path / "run")
    weight = "layer2.0.body.0.weight"
    trained = restore(Run(tmp_path / "run")).cohort.networks[0].state_dict()[weight]
    torch.testing.assert_close(trained, load_file(weights_file)[weight])

    save_file({name: tensor * 0 for name, tensor in load_file(weights_file).items()}, weights_file)
    train_quickly(config, tmp_path / "run", resume=True)  # nothing left to do: the file is not read again
    again = restore(Run(tmp_path / "run")).cohort.networks[0].state_dict()[weight]
    assert torch.equal(again, trained)


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_there_again(
    weights_file, tmp_path, quick_config, train_quickly
):
    config = quick_config(weights=weights_file, method="baseline", epochs=1, lr="1e-12")
    Run(tmp_path / "run").create(config)
    train_quickly(config, tmp_path / "run", resume=True)
    weight = "layer2.0.body.0.weight"
    trained = restore(Run(tmp_path / "run")).cohort.networks[0].state_dict()[weight]
    torch.testing.assert_close(trained, load_file(weights_file)[weight])


def test_a_run_starts_from_the_leader_of_another_run_as_from_its_file(trained, tmp_path, quick_config, train_quickly):
    file = trained.export("safetensors", tmp_path / "leader.safetensors").path
    found = {}
    for name, weights in {"run": trained.path, "file": file}.items():
        train_quickly(quick_config(weights=weights, method="baseline", epochs=1), tmp_path / name)
        found[name] = restore(Run(tmp_path / name)).cohort.state_dict()
    assert found["run"].keys() == found["file"].keys()
    assert all(torch.equal(found["run"][name], found["file"][name]) for name in found["file"])


def test_a_folder_without_a_run_has_no_weights(tmp_path, quick_config, train_quickly):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(UserError, match=r"thesis holds no run: config\.yaml is missing"):
        train_quickly(quick_config(weights=tmp_path / "thesis"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(weights_file):
    peers = Cohort("resnet32", 3, peers=2, in_channels=1)
    message = r"weights.safetensors does not contain weights of resnet32: 'layer1.1.* is absent, must be of shape"
    with pytest.raises(UserError, match=message):
        start_from_weights(peers, CohortConfig(backbone="resnet32", weights=str(weights_file)))


def test_a_pickle_is_refused_and_not_read(tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    torch.save(backbones.build("resnet8", classes=7, in_channels=1).network().state_dict(), file)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    message = r"weights.pth is not a safetensors file; others such as .onnx and .pth are not read here"
    with pytest.raises(UserError, match=message):
        start_from_weights(cohort(), CohortConfig(weights=str(file)))


def test_weights_with_other_classifier_names_only_fit_except_for_these(weights_file):
    weights = {name: tensor.clone() for name, tensor in load_file(weights_file).items()}  # the file is replaced
    save_file({name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}, weights_file)
    peers = cohort()
    start_from_weights(peers, CohortConfig(weights=str(weights_file)))
    assert torch.equal(peers.networks[0].state_dict()["stem.0.weight"], weights["stem.0.weight"])
    save_file({**weights, "head.weight": torch.zeros(2)}, weights_file)
    with pytest.raises(UserError, match=r"'head.weight' is of shape \(2,\), must be absent"):
        start_from_weights(peers, CohortConfig(weights=str(weights_file)))


class TestPretrained:
    def offering(self, peers, pretrained):
        """The cohort, as if its backbone's library had such weights."""
        peers.backbones = tuple(replace(backbone, pretrained=pretrained) for backbone in peers.backbones)
        return peers

    def test_peers_start_from_what_the_library_offers(self):
        def offered():
            torch.manual_seed(5)
            network = backbones.build("resnet8", classes=1000, in_channels=1).network()
            network.add_module("auxiliary", torch.nn.Linear(2, 2))  # as GoogLeNet's, which a peer lacks
            return network

        peers = self.offering(cohort(), offered)
        start_from_weights(peers, CohortConfig(pretrained=True))
        for network in peers.networks:
            assert torch.equal(network.layer3[0].body[0].weight, offered().layer3[0].body[0].weight)
            assert network.fc.out_features == 3

    def test_what_a_library_draws_does_not_affect_the_run(self):
        found = []
        for seed in (5, 6):
            peers = self.offering(cohort(), partial(self.drawing, seed))
            torch.manual_seed(0)
            start_from_weights(peers, CohortConfig(pretrained=True))
            found.append((peers.networks[0].fc.weight, torch.rand(2)))
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True))

    def drawing(self, seed):
        torch.manual_seed(seed)
        return backbones.build("resnet8", classes=1000, in_channels=1).network()

    def test_a_network_without_any_is_told(self):
        with pytest.raises(UserError, match="resnet8 has no pretrained weights: use a timm: or torchvision:"):
            start_from_weights(cohort(), CohortConfig(pretrained=True))

    def test_a_failed_download_is_one_sentence(self):
        def unreachable():
            raise OSError("no route\nto host")

        with pytest.raises(UserError, match="weights of resnet8 cannot be downloaded: no route to host"):
            start_from_weights(self.offering(cohort(), unreachable), CohortConfig(pretrained=True))


@pytest.mark.parametrize(
    ("words", "expected"), [(["--pretrained"], True), (["--pretrained=false"], False), ([], False)]
)
def test_pretrained_needs_no_value(words, expected):
    config, _ = parse(["digits", *words, "--backbone=resnet18"])
    assert config.cohort.pretrained is expected


def test_weights_and_pretrained_exclude_each_other():
    config, _ = parse(["digits", "--pretrained", "--weights=some.safetensors"])
    with pytest.raises(UserError, match="weights cannot be combined with pretrained or peer_backbones"):
        config.check()


class TestFreezeUntil:
    @pytest.fixture
    def frozen(self, weights_file, quick_config):
        return quick_config(weights=weights_file, sharing="network", freeze_until="layer1")

    def test_frozen_stages_keep_the_weights_of_the_file_and_a_resumed_run_is_the_same(
        self, frozen, weights_file, tmp_path, train_quickly, stop_and_resume, state_of
    ):
        result = train_quickly(frozen, tmp_path / "whole")
        cohort = restore(Run(tmp_path / "whole")).cohort
        for network in cohort.networks:
            for name, tensor in load_file(weights_file).items():
                unchanged = torch.equal(network.state_dict()[name], tensor) if not name.startswith("fc.") else False
                assert unchanged == name.startswith(("stem.", "layer1.")), name
        whole = backbones.build("resnet8", classes=cohort.classes, in_channels=1).network()
        trained = [tensor for name, tensor in whole.named_parameters() if not name.startswith(("stem.", "layer1."))]
        assert result["parameters"]["cohort"] == 2 * sum(tensor.numel() for tensor in trained)
        assert result["parameters"]["leader"] == sum(tensor.numel() for tensor in whole.parameters())
        again = stop_and_resume(frozen, tmp_path / "stopped")
        assert state_of(again) == state_of(Run(tmp_path / "whole"))

    def test_an_unknown_stage_is_one_sentence_before_anything_is_written(
        self, weights_file, quick_config, tmp_path, train_quickly
    ):
        config = quick_config(weights=weights_file, freeze_until="layer7")
        with pytest.raises(
            UserError, match="resnet8 has no stage 'layer7': its stages are stem, layer1, layer2, layer3"
        ):
            train_quickly(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_random_weights_are_not_frozen(self, quick_config):
        with pytest.raises(UserError, match="freeze_until stem would freeze random weights: set pretrained or weights"):
            quick_config(freeze_until="stem").check()
