"""Folders in the layout of the Hugging Face Hub, loaded by timm itself."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from peerdistill import backbones
from peerdistill.deploy import ExportError, LeaderCard, export, open_scorer, predict
from peerdistill.deploy.formats.timm_folder import model_card
from peerdistill.errors import UserError
from support.hub import write_network
from support.photos import noise

CLASSES = ("cat", "dog", "hen")
BACKBONE = "timm:test_resnet?drop_rate=0.25"


@pytest.fixture(scope="module")
def leader():
    torch.manual_seed(4)
    network = backbones.build(BACKBONE, classes=3, image_size=40).network().eval()
    torch.nn.init.normal_(network.get_parameter("fc.weight"))
    return network


def card_of(**changes) -> LeaderCard:
    card = LeaderCard(BACKBONE, CLASSES, 40, 3, (0.1, 0.4, 0.7), (0.5, 0.3, 0.2), 0.9, interpolation="bicubic")
    return replace(card, **changes)


def exported(network, folder: Path, card: LeaderCard | None = None, **how) -> Path:
    pictures = torch.from_numpy(np.stack([noise(seed, 40, 40) for seed in range(4)])).permute(0, 3, 1, 2)
    card = card or card_of()
    pictures = pictures[:, : card.channels]
    return export(network, card, folder, format="timm", pictures=pictures, **how).path


@pytest.fixture(scope="module")
def folder(leader, tmp_path_factory) -> Path:
    facts = {"method": "mcl-okd", "images": {"training": 80, "test": 20}, "versions": {"torch": "2.9"}}
    return exported(leader, tmp_path_factory.mktemp("hub") / "net", facts=facts)


@pytest.fixture
def photo(tmp_path) -> Path:
    Image.fromarray(noise(3, 57, 83)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("crop", [1.0, 0.9, 0.875, 40 / 43, 40 / 44, 40 / 47])
def test_timm_prepares_and_classifies_pictures_as_predict_does(leader, tmp_path, photo, crop):
    folder = exported(leader, tmp_path / "net", card_of(crop=crop))
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    with torch.no_grad():
        probabilities = network(transform(Image.open(photo))[None]).softmax(1)[0]
    (found,) = predict(folder, [photo], top=3)
    order = probabilities.argsort(descending=True)
    assert found.classes == tuple(CLASSES[place] for place in order)
    assert found.probabilities == pytest.approx(probabilities[order].tolist(), abs=1e-5)


def test_timm_finds_the_classes_and_the_arguments(folder):
    configuration = json.loads((folder / "config.json").read_text())
    assert configuration["architecture"] == "test_resnet"
    assert configuration["label_names"] == list(CLASSES)
    assert configuration["model_args"]["drop_rate"] == 0.25
    assert configuration["pretrained_cfg"]["license"] == "unknown"
    assert configuration["pretrained_cfg"]["tag"] is None  # these are not the weights that timm offers
    network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert (network.num_classes, network.drop_rate) == (3, 0.25)


def test_the_folder_is_a_backbone_with_weights(folder, leader):
    name = backbones.resolve(f"timm:local-dir:{folder}")
    assert backbones.pretrained_input(name) == backbones.PretrainedInput(
        40, (0.1, 0.4, 0.7), (0.5, 0.3, 0.2), 40 / 44, "bicubic"
    )
    found = backbones.build(name, classes=5, image_size=40).pretrained().state_dict()
    assert all(torch.equal(found[key], one) for key, one in leader.state_dict().items() if not key.startswith("fc."))


def test_grey_leaders(tmp_path):
    torch.manual_seed(5)
    network = backbones.build(BACKBONE, classes=3, in_channels=1, image_size=40).network().eval()
    card = card_of(channels=1, mean=(0.5,), std=(0.25,))
    folder = exported(network, tmp_path / "net", card)
    assert timm.create_model(f"local-dir:{folder}", pretrained=True)(torch.zeros(1, 1, 40, 40)).shape == (1, 3)


def test_the_model_card_has_a_header_and_the_facts(folder):
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "unknown"
    assert yaml.safe_load(header)["library_name"] == "timm"
    for line in ("- method: mcl-okd", "- images: training 80; test 20", "- versions: torch 2.9", "- classes: cat, dog"):
        assert line in text
    code = text.split("```python\n")[1].split("```")[0]
    compile(code, "README.md", "exec")


def test_names_of_classes_are_text_in_the_model_card():
    assert r"- classes: \<img src=x\>, a\_b" in model_card({}, card_of(class_names=("<img src=x>", "a_b")))


def test_the_folder_holds_three_files_that_others_can_read(leader, tmp_path):
    umask = os.umask(0o022)
    try:
        folder = exported(leader, tmp_path / "net")
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("config.json", "model.safetensors", "README.md"), 0o644)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_force_replaces_a_folder_with_a_network_and_no_other(leader, tmp_path):
    folder = exported(leader, tmp_path / "net")
    with pytest.raises(UserError, match="net exists: choose another name, or replace it with --force"):
        exported(leader, folder)
    (folder / "old").touch()
    exported(leader, folder, force=True)
    assert not (folder / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(UserError, match="thesis is a folder with other content: choose another name"):
        exported(leader, tmp_path / "thesis", force=True)
    with pytest.raises(UserError, match="chapter is a file: name a folder"):
        exported(leader, tmp_path / "thesis" / "chapter", force=True)


@pytest.mark.parametrize("name", ["resnet18", "torchvision:mobilenet_v3_small"])
def test_networks_of_other_libraries_are_refused(tmp_path, name):
    network = backbones.build(name, classes=3, image_size=40).network()
    with pytest.raises(ExportError, match=f"--format timm is for networks of timm, and this is a {name}: choose safet"):
        exported(network, tmp_path / "net", card_of(backbone=name))
    assert list(tmp_path.iterdir()) == []


def test_encoders_are_refused(leader, tmp_path):
    network = backbones.build(BACKBONE, classes=3, image_size=40).network()
    network.fc = torch.nn.Identity()
    with pytest.raises(ExportError, match="--format timm is for classifiers, and this leader is an encoder"):
        exported(network, tmp_path / "net", card_of(class_names=()))


def test_a_folder_of_another_origin_is_opened_by_its_configuration(tmp_path, photo):
    network = write_network(tmp_path / "net", "test_resnet").eval()
    score, card = open_scorer(tmp_path / "net")
    architecture = "timm:test_resnet?global_pool=avg"
    assert card == LeaderCard(architecture, tuple("0123456"), 48, 3, (0.1, 0.4, 0.7), (0.5, 0.3, 0.2), 0.75)
    transform = create_transform(
        (3, 48, 48), is_training=False, crop_pct=0.75, mean=card.mean, std=card.std, interpolation="bilinear"
    )
    with torch.no_grad():
        expected = network(transform(Image.open(photo))[None])
    assert score(card.images([photo])) == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("content", ["{}", '{"architecture": "resnet19"}', "[1]", "{"])
def test_a_folder_with_a_damaged_configuration_is_one_sentence(tmp_path, content):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"net/config.json") as raised:
        open_scorer(tmp_path / "net")
    assert "\n" not in str(raised.value)
