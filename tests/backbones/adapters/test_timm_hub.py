"""Networks of the hub and of folders. The hub itself is not reached: its cache on disk is."""

import json
import shutil
from dataclasses import asdict

import huggingface_hub
import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from peerdistill import Cohort, backbones
from peerdistill.errors import UserError
from support.hub import write_cache, write_network


@pytest.fixture
def folder(tmp_path):
    write_network(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["local-dir", "hf-hub"])
def source(request, folder, offline):
    """The same network in a folder and on the hub, by timm's own name."""
    write_cache(offline, "someone/net", folder)
    return {"local-dir": f"local-dir:{folder}", "hf-hub": "hf-hub:someone/net"}[request.param]


def test_the_network_is_timm_s_with_its_weights_and_preprocessing(source):
    expected = timm.create_model(source, pretrained=True)
    name = backbones.resolve(f"timm:{source}")
    assert name == backbones.resolve(source) == f"timm:{source}?architecture=test_efficientnet&global_pool=avg"
    backbone = backbones.build(name, classes=3, image_size=48)
    assert backbone.name == f"timm:{source}"
    found = backbone.pretrained().state_dict()
    for key, tensor in expected.state_dict().items():
        assert key.startswith("classifier.") or torch.equal(found[key], tensor)
    wanted = resolve_model_data_config(expected)
    assert asdict(backbones.pretrained_input(name)) == {
        "image_size": wanted["input_size"][-1],
        "mean": tuple(wanted["mean"]),
        "std": tuple(wanted["std"]),
        "crop": 48 / int(48 / wanted["crop_pct"]),
        "interpolation": wanted["interpolation"],
    }


def test_stages_are_those_of_the_architecture(source):
    plain = backbones.build("timm:test_efficientnet", classes=3)
    assert backbones.build(f"timm:{source}", classes=3).stages[-1].name == plain.stages[-1].name
    cohort = Cohort(f"timm:{source}", classes=3, peers=2, sharing="network", image_size=48)
    assert cohort(torch.zeros(2, 3, 48, 48)).logits.shape == (2, 2, 3)


def test_the_full_name_builds_the_network_without_its_source(tmp_path):
    folder = tmp_path / "with ? & ="
    stock = write_network(folder, "test_vit", global_pool="avg", img_size=96)
    name = backbones.resolve(f"timm:local-dir:{folder}")
    shutil.rmtree(folder)
    assert backbones.resolve(name) == name
    assert backbones.architecture(name) == "timm:test_vit?global_pool=avg"
    for one in (name, backbones.architecture(name)):
        network = backbones.build(one, classes=7, image_size=96).network()
        network.load_state_dict(stock.state_dict(), strict=True)  # it has fc_norm, and the default has norm
        images = torch.randn(2, 3, 96, 96)
        assert torch.equal(network.eval()(images), stock.eval()(images))


def test_weights_are_adapted_to_grey_images(folder):
    expected = timm.create_model(f"local-dir:{folder}", pretrained=True, in_chans=1)
    found = backbones.build(f"timm:local-dir:{folder}", classes=3, in_channels=1).pretrained()
    assert torch.equal(found.conv_stem.weight, expected.conv_stem.weight)


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda net: shutil.rmtree(net), "there is no folder .*net"),
        (
            lambda net: (net / "config.json").unlink(),
            "net has no config.json: a network needs config.json and mod",
        ),
        (lambda net: (net / "config.json").write_text("{"), "net/config.json does not describe a network of timm: Exp"),
        (lambda net: (net / "config.json").write_text("[]"), "net/config.json does not describe a network of timm"),
        (lambda net: (net / "config.json").write_text("{}"), "net/config.json does not describe a network of timm"),
        (
            lambda net: change_config(net, architecture="resnet19"),
            "architecture 'resnet19', which timm does not have",
        ),
        (lambda net: change_config(net, architecture=[1]), "net/config.json does not describe a network of timm"),
    ],
)
def test_a_source_that_does_not_describe_a_network_is_one_sentence(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message) as raised:
        backbones.resolve(f"timm:local-dir:{folder}")
    assert "\n" not in str(raised.value)


def test_arguments_that_the_architecture_does_not_take_are_one_sentence(folder):
    change_config(folder, model_args={"nonsense": 3})
    with pytest.raises(UserError, match=r"net cannot be built with the arguments of its name: .*nonsense"):
        backbones.build(f"timm:local-dir:{folder}", classes=3)


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "cache_dir"])
def test_arguments_do_not_say_what_is_loaded(folder, argument):
    for name in (f"timm:resnet18?{argument}=x", f"timm:local-dir:{folder}?architecture=resnet18&{argument}=x"):
        with pytest.raises(UserError, match=f"cannot have the argument {argument}: it is not one of the network"):
            backbones.build(name, classes=3)


def test_arguments_do_not_take_all_memory():
    with pytest.raises(UserError, match=r"it has [\d,]+ parameters, at most 8,000,000,000 are allowed"):
        backbones.build("timm:vit_tiny_patch16_224?embed_dim=60000", classes=3)


def test_a_pickle_is_never_read(folder, monkeypatch):
    network = timm.create_model("test_efficientnet", num_classes=7)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    backbone = backbones.build(f"timm:local-dir:{folder}", classes=3)
    with pytest.raises(UserError, match=r"net has no model.safetensors: .*, pickled files are not read"):
        backbone.pretrained()


def test_the_hub_s_pickles_are_not_read_either(folder, offline):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    write_cache(offline, "someone/net", folder)
    backbone = backbones.build("timm:hf-hub:someone/net", classes=3)
    with pytest.raises(UserError, match="hf-hub:someone/net cannot be read from the Hugging Face Hub"):
        backbone.pretrained()


def test_without_network_and_cache_the_hub_is_one_sentence(offline):
    with pytest.raises(UserError, match="hf-hub:someone/net cannot be read from the Hugging Face Hub: ") as raised:
        backbones.resolve("timm:hf-hub:someone/net")
    assert "\n" not in str(raised.value)


def test_titles_name_files():
    titles = {name: backbones.title(name) for name in ("resnet20", "timm:resnet18.a1_in1k", "own.module:net")}
    assert titles == {
        "resnet20": "resnet20",
        "timm:resnet18.a1_in1k": "timm-resnet18.a1_in1k",
        "own.module:net": "own.module-net",
    }
    assert backbones.title("timm:hf-hub:someone/net?architecture=resnet18&drop_rate=0.1") == "timm-hf-hub-net"


def test_arguments_that_follow_from_the_data_are_refused():
    with pytest.raises(UserError, match=r"timm:resnet18\?num_classes=3 cannot have the argument num_classes: it"):
        backbones.build("timm:resnet18?num_classes=3", classes=3)
