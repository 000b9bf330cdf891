"""Pretrained weights bring their preprocessing with them: mean, std, size, crop and interpolation."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from peerdistill import deploy
from peerdistill.cohort import Cohort
from peerdistill.config import Config
from peerdistill.data import eval_batches
from peerdistill.deploy import LeaderCard
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.runs import Run, restore
from peerdistill.runs.preprocessing import as_expected, as_started
from peerdistill.runs.tasks import load_task
from peerdistill.terms import Teacher
from support.digits import digits_of_each_class, write_npz
from support.photos import noise

# timm's smallest network, with the preprocessing of no other network.
NETWORK = "timm:test_efficientnet"
ODD = {
    "input_size": (3, 48, 48),
    "mean": (0.1, 0.4, 0.7),
    "std": (0.5, 0.3, 0.2),
    "crop_pct": 0.75,
    "interpolation": "bicubic",
}
EXPECTED = {"image_size": 48, "mean": [0.1, 0.4, 0.7], "std": [0.5, 0.3, 0.2], "crop": 0.75, "interpolation": "bicubic"}
DEFAULTS = {
    "image_size": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "crop": 0.875,
    "interpolation": "bilinear",
}
OPTIONS = {
    "backbone": NETWORK,
    "method": "baseline",
    "peers": 1,
    "epochs": 1,
    "lr": 1e-12,
    "batch_size": 4,
    "workers": 0,
}


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    """Let timm offer weights that were drawn with a seed, pretrained on oddly prepared pictures."""
    create, known = timm.create_model, timm.get_pretrained_cfg

    def create_model(name: str, pretrained: bool = False, **options):
        if not pretrained:
            return create(name, pretrained_cfg_overlay=ODD, **options)
        torch.manual_seed(5)
        return create(name, pretrained_cfg_overlay=ODD, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: replace(known(name), **ODD))


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of smooth pictures of several shapes."""
    for number in range(24):
        file = tmp_path / "photos" / ("lying", "standing")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        blurred = Image.fromarray(noise(number, 7, 7)).resize((70 + 7 * number, 91 + number), Image.Resampling.BICUBIC)
        blurred.save(file)
    return tmp_path / "photos"


def config_of(data: Path | str, **changes) -> Config:
    return Config.from_dict({"data": str(data), **OPTIONS, **changes})


def of(config: Config) -> dict:
    return {name: value for name, value in asdict(config.data).items() if name in EXPECTED}


@pytest.fixture
def tuned(photos, tmp_path, train_quickly) -> Run:
    train_quickly(config_of(photos, pretrained=True), tmp_path / "run")
    return Run(tmp_path / "run")


def card_of(run: Run) -> LeaderCard:
    """The card of the leader in a file."""
    return replace(restore(run).card, what="leader", method="baseline", peers=1)


def test_evaluation_export_and_predict_see_pictures_as_timm_does(tuned, photos, tmp_path):
    files = sorted(photos.rglob("*.png"))
    leader = restore(tuned).leader().eval()
    plain = timm.create_model(NETWORK.removeprefix("timm:"), num_classes=2).eval()
    plain.load_state_dict(leader.state_dict())
    transform = create_transform(**resolve_model_data_config(plain), is_training=False)
    assert "BICUBIC" in str(transform).upper()
    with torch.no_grad():
        logits = plain(torch.stack([transform(Image.open(file)) for file in files]))
    spread = logits.std(0).min().item()

    tuned.export("onnx", tmp_path / "leader.onnx")
    scorer, card = deploy.open_scorer(tmp_path / "leader.onnx")
    assert card == card_of(tuned)
    assert np.abs(scorer(card.images(files)) - logits.numpy()).max() < 0.001 * spread
    unlike = replace(card, interpolation="bilinear", crop=0.875)
    assert np.abs(scorer(unlike.images(files)) - logits.numpy()).max() > 0.2 * spread

    classes = [load_task(tuned.config).data.class_names[row] for row in logits.argmax(1)]
    for found in (tuned.predict(files, top=1), deploy.predict(tmp_path / "leader.onnx", files, top=1)):
        assert [one.classes[0] for one in found] == classes
        expected = logits.softmax(1).max(1).values
        assert [one.probabilities[0] for one in found] == pytest.approx(expected.tolist(), abs=0.001 * spread)
    test = load_task(tuned.config).data.test
    rows = [files.index(Path(path)) for path in test.paths]
    right = (logits[rows].argmax(1) == test.labels).double().mean().item()
    assert tuned.evaluate()["leader"]["top1"] == pytest.approx(100 * right)


def test_the_run_and_its_files_record_the_preprocessing(tuned, tmp_path):
    written = yaml.safe_load(tuned.config_file.read_text())
    assert {name: written[name] for name in EXPECTED} == EXPECTED
    card = card_of(tuned)
    assert {"image_size": 48, "crop": 0.75, "interpolation": "bicubic"}.items() <= vars(card).items()
    assert (card.mean, card.std) == (ODD["mean"], ODD["std"])
    tuned.export("safetensors", tmp_path / "leader.safetensors")
    metadata, _ = deploy.read_safetensors(tmp_path / "leader.safetensors")
    assert LeaderCard.from_metadata(metadata, tmp_path) == card


def test_options_override_what_the_weights_expect(photos, tmp_path, train_quickly):
    given = {"image_size": 64, "mean": [0.5], "std": None, "interpolation": "bilinear"}
    config = as_expected(config_of(photos, pretrained=True, **given))
    assert of(config) == {**EXPECTED, "image_size": 64, "mean": [0.5], "interpolation": "bilinear"}
    data = load_task(config).data
    assert (data.image_size, data.mean, data.std) == (64, (0.5, 0.5, 0.5), ODD["std"])


def test_without_pretrained_weights_nothing_changes(photos):
    config = config_of(photos)
    assert of(config) == DEFAULTS
    assert as_expected(config) is config
    arrays = config_of("digits", backbone="resnet8")
    assert of(arrays) == {**dict.fromkeys(EXPECTED), "image_size": 224}


def test_a_resumed_run_keeps_its_preprocessing(photos, tuned, train_quickly, monkeypatch):
    monkeypatch.setattr("peerdistill.backbones.pretrained_input", lambda name: pytest.fail("looked up again"))
    train_quickly(tuned.config, tuned.path, resume=True)
    train_quickly(config_of(photos, pretrained=True), tuned.path, resume=True)
    changed = config_of(photos, pretrained=True, interpolation="bilinear")
    with pytest.raises(UserError, match="was started with interpolation bicubic, found bilinear"):
        train_quickly(changed, tuned.path, resume=True)


def test_training_and_evaluation_use_the_normalisation_and_the_filter(photos, tmp_path):
    config = as_expected(config_of(photos, pretrained=True, cache=str(tmp_path / "cache")))
    task, bilinear = load_task(config), load_task(replace(config, data=replace(config.data, interpolation="bilinear")))
    first, other = (next(iter(one.batches(torch.device("cpu")).epoch(0))) for one in (task, bilinear))
    assert torch.equal(first.indices, other.indices)
    assert not torch.equal(first.images, other.images)
    # One cache for both filters: each gives its own pixels.
    path = task.data.train.paths[0]
    pixels = [one.data.train.eval_reader.read(path).astype(int) for one in (task, bilinear)]
    assert np.abs(pixels[0] - pixels[1]).max() > 2
    assert np.array_equal(pixels[0], deployed_pixels(path))


def deployed_pixels(path: str) -> np.ndarray:
    card = LeaderCard(NETWORK, (), 48, 3, (0.5,) * 3, (0.5,) * 3, 0.75, interpolation="bicubic")
    return np.rint(card.images([path])[0].transpose(1, 2, 0) * 255).astype(int)


class TestWeightsFile:
    @pytest.fixture
    def weights(self, tmp_path) -> Path:
        network = timm.create_model(NETWORK.removeprefix("timm:"), num_classes=7)
        save_file(network.state_dict(), tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    def test_without_a_card_the_backbone_decides(self, photos, weights):
        assert of(as_expected(config_of(photos, weights=str(weights)))) == EXPECTED
        own = as_expected(config_of(photos, backbone="resnet8", weights=str(weights)))
        assert of(own) == DEFAULTS

    def test_the_card_in_the_file_decides(self, photos, weights):
        card = LeaderCard(NETWORK, ("a", "b"), 40, 3, (0.2, 0.3, 0.4), (0.6, 0.7, 0.8), 1.0)
        save_file(timm.create_model("test_efficientnet").state_dict(), weights, metadata=card.to_metadata())
        found = of(as_expected(config_of(photos, weights=str(weights))))
        expected = {"image_size": 40, "mean": [0.2, 0.3, 0.4], "std": [0.6, 0.7, 0.8], "crop": 1.0}
        assert found == {**expected, "interpolation": "bilinear"}

    def test_a_damaged_card_is_one_sentence(self, photos, weights):
        card = LeaderCard(NETWORK, ("a", "b"), 40, 3, (0.2, 0.3, 0.4), (0.6, 0.7, 0.8), 1.0)
        damaged = {**card.to_metadata(), "peerdistill.crop": "2"}
        save_file({"weight": torch.zeros(1)}, weights, metadata=damaged)
        with pytest.raises(UserError, match="damaged leader card: crop must be a number"):
            as_expected(config_of(photos, weights=str(weights)))


def test_arrays_take_mean_and_std_of_the_weights(tmp_path, digits_file):
    colour = tmp_path / "colour.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    np.savez(colour, images=images, labels=np.arange(40) % 2, class_names=np.array(["a", "b"]))
    config = as_expected(config_of(f"npz:{colour}", pretrained=True))
    assert of(config) == {**EXPECTED, "crop": None, "interpolation": None}
    data = load_task(config).data
    assert (data.mean, data.std, data.image_size) == (ODD["mean"], ODD["std"], 16)
    grey = load_task(as_expected(config_of(f"npz:{digits_file}", pretrained=True))).data
    assert (grey.mean, grey.std) == (pytest.approx([0.4]), pytest.approx([1 / 3]))


def test_few_shot_images_are_normalised_for_the_weights_too(tmp_path):
    file = write_npz(tmp_path / "digits.npz", *digits_of_each_class(4))
    digits = {"kind": "episodes", "data": f"npz:{file}", "backbone": NETWORK}
    config = as_expected(Config.from_dict({**digits, "pretrained": True}))
    assert (config.data.mean, config.data.std) == (list(ODD["mean"]), list(ODD["std"]))
    data = load_task(config).data
    assert (data.mean, data.std) == (pytest.approx([0.4]), pytest.approx([1 / 3]))
    given = as_expected(Config.from_dict({**digits, "pretrained": True, "mean": [0.1]}))
    assert given.data.mean == [0.1]
    assert as_started(Config.from_dict({**digits, "pretrained": True}), config) == config
    own = load_task(as_expected(Config.from_dict(digits))).data
    images = own.train.images.double() / 255
    assert own.mean == pytest.approx([images.mean().item()])


def test_peers_that_expect_another_normalisation_are_warned_of(photos):
    others = {"peers": 2, "sharing": "network", "peer_backbones": ["resnet18"]}
    with pytest.warns(PeerdistillWarning, match=r"resnet18 was pretrained with mean \[0.485, .* for timm:test_eff"):
        config = as_expected(config_of(photos, pretrained=True, **others))
    assert of(config) == EXPECTED


def test_a_filter_that_is_not_supported_is_one_sentence(photos, monkeypatch):
    monkeypatch.setitem(ODD, "interpolation", "lanczos")
    with pytest.raises(UserError, match="with interpolation lanczos, which is not supported: set interpolation to bil"):
        as_expected(config_of(photos, pretrained=True))
    assert as_expected(config_of(photos, pretrained=True, interpolation="bicubic")).data.interpolation == "bicubic"


@pytest.mark.parametrize("from_file", [False, True])
def test_a_teacher_sees_images_in_its_own_normalisation(photos, tuned, tmp_path, from_file):
    source = tmp_path / "teacher.safetensors" if from_file else tuned.path
    if from_file:
        tuned.export("safetensors", source)
    # Only the normalisation of the student differs.
    prepared = {"image_size": 48, "interpolation": "bicubic", "crop": 0.75}
    task = load_task(config_of(photos, backbone="resnet8", method="kd", teacher=str(source), **prepared))
    method = task.method(Cohort("resnet8", 2, peers=1))
    teacher = method.teacher
    assert isinstance(teacher, Teacher)
    test = task.data.test
    batches = eval_batches(test, task.data, batch_size=4, device="cpu", workers=0)
    logits = torch.cat([teacher(batch.images).logits[0] for batch in batches])
    restored = restore(tuned)
    expected = restored.scorer()(restored.card.images(test.paths))
    torch.testing.assert_close(logits, torch.as_tensor(expected), rtol=1e-4, atol=1e-5)
