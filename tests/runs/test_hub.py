"""Runs that start from a network in a folder, which they do not need afterwards, or in the cache of the hub."""

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from peerdistill import deploy
from peerdistill.config import Config
from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError
from peerdistill.runs import Run, restore
from peerdistill.runs.preprocessing import as_expected
from support.command_line import run as run_command
from support.hub import write_cache, write_network
from support.photos import write_photos

OPTIONS = {"method": "baseline", "peers": 1, "epochs": 1, "lr": 1e-12, "batch_size": 4, "workers": 0, "cache": "off"}
EXPECTED = {
    "image_size": 48,
    "mean": [0.1, 0.4, 0.7],
    "std": [0.5, 0.3, 0.2],
    "crop": 0.75,
    "interpolation": "bilinear",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with photographs and the network ``net``."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 16, 50, 60)
    write_network(tmp_path / "net", "test_resnet")
    return tmp_path


def config_of(backbone, **changes):
    return Config.from_dict({"data": "photos", "backbone": backbone, **OPTIONS, **changes})


def test_a_run_starts_from_a_folder_and_does_not_need_it_afterwards(folder, train_quickly, capsys):
    config = config_of("timm:local-dir:net", pretrained=True)
    train_quickly(config, folder / "run")
    trained = restore(Run(folder / "run")).cohort
    weights = load_file(folder / "net" / "model.safetensors")
    for network in trained.networks:
        torch.testing.assert_close(network.state_dict()["layer4.0.conv1.weight"], weights["layer4.0.conv1.weight"])
    shutil.rmtree(folder / "net")

    run = Run(folder / "run")
    written = yaml.safe_load(run.config_file.read_text())
    source = f"timm:local-dir:{folder}/net"
    assert written["backbone"] == f"{source}?architecture=test_resnet&global_pool=avg"
    assert {name: written[name] for name in EXPECTED} == EXPECTED
    assert run.evaluate()["samples"] > 0
    files = sorted((folder / "photos" / "cat").iterdir())
    own = run.predict(files, top=2)
    path = run.export("safetensors", folder / "leader.safetensors").path
    scorer, card = deploy.open_scorer(path)
    assert card.backbone == "timm:test_resnet?global_pool=avg"
    assert (card.mean, card.crop) == ((0.1, 0.4, 0.7), 0.75)
    assert [one.classes for one in deploy.predict(path, files, top=2)] == [one.classes for one in own]
    assert np.isfinite(scorer(card.images(files))).all()
    train_quickly(run.config, folder / "run", resume=True)

    exported = run.export("timm").path
    text = (exported / "README.md").read_text()
    for fact in (
        "- data: photos",
        "- method: baseline",
        "- test accuracy of the leader, percent: top1 ",
        "- versions: ",
    ):
        assert fact in text
    assert str(folder) not in text
    outcome = run_command("predict", exported, *files, "--json", "--top=2")
    assert [one["classes"] for one in json.loads(outcome.stdout)] == [list(one.classes) for one in own]
    tuned = config_of("timm:test_resnet", weights=str(exported))
    train_quickly(tuned, folder / "tuned")
    assert Run(folder / "tuned").config.data.crop == 0.75
    weight = run.leader().state_dict()["layer4.0.conv1.weight"]
    torch.testing.assert_close(Run(folder / "tuned").leader().state_dict()["layer4.0.conv1.weight"], weight)


def test_weights_in_a_folder_of_another_origin_bring_their_preprocessing(folder):
    expected = as_expected(config_of("timm:test_resnet", weights="net"))
    assert {name: getattr(expected.data, name) for name in EXPECTED} == EXPECTED
    (folder / "net" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"there are no weights .*net/model.safetensors: they must be a run folder"):
        as_expected(config_of("timm:test_resnet", weights="net"))


def test_without_pretrained_only_the_architecture_is_used(folder, train_quickly):
    (folder / "net" / "model.safetensors").unlink()
    config = config_of("timm:local-dir:net", image_size=32)
    assert config.data.mean == [0.485, 0.456, 0.406]
    train_quickly(config, folder / "run")
    assert type(Run(folder / "run").leader()).__name__ == "ResNet"


def test_a_run_starts_from_the_hub(folder, train_quickly, monkeypatch):
    write_cache(folder / "cache", "someone/net", folder / "net")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    train_quickly(config_of("timm:hf-hub:someone/net", pretrained=True), folder / "run")
    shutil.rmtree(folder / "cache")
    run = Run(folder / "run")
    assert run.config.data.crop == 0.75
    weight = load_file(folder / "net" / "model.safetensors")["layer4.0.conv1.weight"]
    torch.testing.assert_close(run.leader().state_dict()["layer4.0.conv1.weight"], weight)


def test_peers_start_from_different_folders(folder, train_quickly):
    write_network(folder / "other", "test_efficientnet")
    others = {"peers": 2, "peer_backbones": ["timm:local-dir:other"], "sharing": "network"}
    train_quickly(config_of("timm:local-dir:net", pretrained=True, **others), folder / "run")
    shutil.rmtree(folder / "other")
    first, _ = restore(Run(folder / "run")).cohort.networks
    assert type(first).__name__ == "EfficientNet"


def test_a_file_does_not_name_a_place(tmp_path):
    card = LeaderCard("timm:hf-hub:someone/net", ("a", "b"), 48, 3, (0.5,) * 3, (0.5,) * 3, 1.0)
    save_file({"weight": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata=card.to_metadata())
    with pytest.raises(UserError, match=r"odd.safetensors names the network timm:hf-hub:someone/net: a file"):
        deploy.load_leader(tmp_path / "odd.safetensors")


def test_a_missing_folder_is_one_sentence_and_nothing_is_written(folder):
    outcome = run_command("train", "photos", "--backbone=timm:local-dir:nothing", "--pretrained", "--run=run")
    assert outcome.code == 2
    assert f"there is no folder {folder}/nothing for the backbone timm:local-dir:" in outcome.stderr.replace("\n", "")
    assert not (folder / "run").exists()
