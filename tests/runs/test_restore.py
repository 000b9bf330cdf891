import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peerdistill import deploy, runs
from peerdistill.config import parse
from peerdistill.data import load_dataset
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.images.decode import open_picture
from peerdistill.data.images.preprocess import fit
from peerdistill.errors import UserError
from peerdistill.methods import METHODS
from peerdistill.runs import Run
from support.digits import write_digits
from support.photos import write_photos


@pytest.mark.parametrize("which", ["last", "best"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluating_gives_the_result_s_numbers(trained, which, split):
    result = json.loads(trained.result_file.read_text())
    assert runs.evaluate_run(trained, which, split).as_dict() == result[which][split]


def test_a_run_can_be_used_from_another_folder(tmp_path, digits_file, quick_config, train_quickly, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    shutil.copyfile(digits_file, home / "digits.npz")
    monkeypatch.chdir(home)
    result = train_quickly(quick_config(data="npz:digits.npz", method="baseline", peers=1, epochs=1), "run")
    monkeypatch.chdir(elsewhere)
    run = Run(Path("../home/run"))
    assert runs.evaluate_run(run).as_dict() == result["last"]["test"]
    assert len(runs.sample_pictures(run, 5)[0]) == 5


def test_a_restored_cohort_is_that_of_the_checkpoint(trained):
    for which in ("last", "best"):
        restored = runs.restore(trained, which)
        state = torch.load(trained.path / "checkpoints" / f"{which}.pt", weights_only=True)
        assert restored.epoch == state["progress"]["epoch"]
        assert not restored.cohort.training
        found = restored.cohort.state_dict()
        assert found.keys() == state["cohort"].keys()
        assert all(torch.equal(found[name], value) for name, value in state["cohort"].items())


def test_the_card_tells_how_pictures_are_prepared(trained):
    card, data = runs.restore(trained).card, load_dataset(trained.config.data)
    assert (card.class_names, card.backbone) == (("a", "b", "c"), "resnet8")
    assert (card.image_size, card.channels, card.crop) == (8, 1, 1.0)
    assert (card.mean, card.std) == (data.mean, data.std)


def test_the_data_is_not_needed_to_restore(trained, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(trained.path, run.path)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("digits.npz", "gone.npz"))
    assert runs.restore(run).card.class_names == ("a", "b", "c")


def test_the_scorer_is_the_leader_on_normalised_pictures(trained):
    restored = runs.restore(trained)
    pictures, _ = runs.sample_pictures(trained, 6)
    images = pictures.float() / 255
    card = restored.card
    expected = restored.cohort((images - card.mean[0]) / card.std[0]).logits[-1]
    found = torch.from_numpy(restored.scorer()(images.numpy()))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-5)


def test_sample_pictures_are_spread_over_the_test_split(trained):
    test = load_dataset(trained.config.data).test
    assert isinstance(test, ArraySplit)
    pictures, split = runs.sample_pictures(trained, 4)
    assert split == "test"
    assert torch.equal(pictures, test.images[torch.linspace(0, len(test) - 1, 4).long()])
    everything, _ = runs.sample_pictures(trained, 10_000)
    assert torch.equal(everything, test.images)


def write_splits(folder: Path, splits: tuple[str, ...]) -> None:
    for number, split in enumerate(splits):
        write_photos(folder / split, 8, seed=100 * number)


@pytest.mark.parametrize(
    ("splits", "validation", "name", "place"),
    [
        (("train", "val", "test"), 0.1, "test", "test"),
        (("train", "val"), 0.1, "validation", "val"),
        (("train", "val"), 0.0, "validation", "val"),
    ],
)
def test_sample_pictures_of_a_folder_are_as_a_leader_sees_them(tmp_path, splits, validation, name, place):
    write_splits(tmp_path / "photos", splits)
    run = Run(tmp_path / "run")
    run.create(parse([str(tmp_path / "photos"), f"--validation={validation}", "--image_size=16"])[0])
    pictures, split = runs.sample_pictures(run, 3)
    assert split == name
    assert (pictures.dtype, tuple(pictures.shape)) == (torch.uint8, (3, 3, 16, 16))
    first = sorted((tmp_path / "photos" / place / "cat").iterdir())[0]
    expected = fit(open_picture(first), 16, 3, 224 / 256)
    assert np.array_equal(pictures[0].permute(1, 2, 0).numpy(), expected)


def test_without_held_out_pictures_training_pictures_are_taken(tmp_path, digits_file):
    run = Run(tmp_path / "run")
    write_splits(tmp_path / "photos", ("train", "test"))
    shutil.rmtree(tmp_path / "photos" / "test")
    run.create(parse([str(tmp_path / "photos"), "--validation=0", "--image_size=16"])[0])
    data = load_dataset(run.config.data)
    _, split = runs.sample_pictures(run, 3)
    assert split == ("test" if data.test is not None else "training")


def rows_of(split) -> set[bytes]:
    assert isinstance(split, ArraySplit)
    return {image.numpy().tobytes() for image in split.images}


def test_calibration_pictures_are_training_pictures_drawn_by_the_seed(trained, monkeypatch):
    monkeypatch.setattr("peerdistill.runs.samples.CALIBRATION_PICTURES", 20)
    restored, data = runs.restore(trained), load_dataset(trained.config.data)
    pictures = runs.calibration_pictures(trained, restored, data)
    drawn = {picture.numpy().tobytes() for picture in pictures}
    assert len(drawn) == len(pictures) == 20
    assert drawn <= rows_of(data.train)
    assert drawn.isdisjoint(rows_of(data.val) | rows_of(data.test))
    assert torch.equal(runs.calibration_pictures(trained, restored, data), pictures)
    other = replace(trained.config, training=replace(trained.config.training, seed=1))
    monkeypatch.setattr(Run, "config", other)
    assert not torch.equal(runs.calibration_pictures(trained, restored, data), pictures)


def test_of_few_training_pictures_all_calibrate(trained):
    data = load_dataset(trained.config.data)
    pictures = runs.calibration_pictures(trained, runs.restore(trained), data)
    assert len(pictures) == len(data.train)
    assert {picture.numpy().tobytes() for picture in pictures} == rows_of(data.train)


def test_calibration_pictures_of_a_folder_are_as_a_leader_sees_them(tmp_path, train_quickly):
    write_splits(tmp_path / "photos", ("train", "test"))
    words = "--validation=0 --image_size=16 --epochs=1 --batch_size=4 --workers=0 --peers=1 --method=baseline"
    train_quickly(parse([str(tmp_path / "photos"), "--backbone=resnet8", *words.split()])[0], tmp_path / "run")
    run = Run(tmp_path / "run")
    pictures = runs.calibration_pictures(run, runs.restore(run), runs.load_data(run))
    files = sorted((tmp_path / "photos" / "train").rglob("*.png"))
    expected = {fit(open_picture(file), 16, 3, 224 / 256).transpose(2, 0, 1).tobytes() for file in files}
    assert {picture.numpy().tobytes() for picture in pictures} == expected


def test_calibration_pictures_must_be_those_of_the_run(trained, digits_file, tmp_path):
    write_digits(tmp_path / "dark.npz", dark=3000)
    data = load_dataset(replace(trained.config.data, data=f"npz:{tmp_path / 'dark.npz'}"))
    with pytest.raises(UserError, match="have changed since the run was started"):
        runs.calibration_pictures(trained, runs.restore(trained), data)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"split": "train"}, "unknown split 'train'"),
        pytest.param(
            {"device": "cuda"},
            "device cuda is not available on this machine",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a device that is there is no mistake"),
        ),
    ],
)
def test_what_there_is_not_is_named(trained, how, sentence):
    with pytest.raises(UserError, match=sentence):
        runs.evaluate_run(trained, **how)


def test_a_split_or_epoch_that_was_not_kept_is_named(tmp_path, quick_config, train_quickly):
    train_quickly(quick_config(validation=0, method="baseline", peers=1, epochs=1), tmp_path / "run")
    run = Run(tmp_path / "run")
    with pytest.raises(UserError, match=r"has no val split: choose --split test"):
        runs.evaluate_run(run, split="val")
    with pytest.raises(UserError, match="has no best checkpoint: without validation images"):
        runs.restore(run, "best")


def test_a_run_of_a_method_that_is_not_known_here_can_be_exported(tmp_path, quick_config, train_quickly, monkeypatch):
    card = replace(METHODS["dml"], loss="my own")
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "mine", card)
        config = quick_config(method="mine", epochs=1, temperature=2.0, validation=0)
        train_quickly(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.config == replace(config, options={"temperature": 2.0, "mutual": 1.0})
    restored = runs.restore(run)
    pictures, _ = runs.sample_pictures(run, 4)
    deploy.export(
        restored.leader(), restored.card, tmp_path / "leader.safetensors", format="safetensors", pictures=pictures
    )
    with pytest.raises(UserError, match="unknown method 'mine'"):
        runs.evaluate_run(run)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory, quick_config, train_quickly) -> Run:
    """A run with a moving average of the leader's weights, not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "averaged"
    train_quickly(quick_config(ema=0.9), path)
    return Run(path)


@pytest.mark.parametrize("which", ["last", "best"])
def test_the_ema_is_that_of_the_checkpoint_and_is_evaluated(averaged, which):
    restored = runs.restore(averaged, which)
    state = torch.load(averaged.path / "checkpoints" / f"{which}.pt", weights_only=True)
    ema, leader = restored.ema(), restored.leader()
    assert not ema.training
    assert ema.state_dict().keys() == state["ema"].keys() == leader.state_dict().keys()
    assert all(torch.equal(value, state["ema"][name]) for name, value in ema.state_dict().items())
    assert not all(torch.equal(value, state["ema"][name]) for name, value in leader.state_dict().items())
    result = json.loads(averaged.result_file.read_text())
    for split in ("val", "test"):
        found = runs.evaluate_run(averaged, which, split).as_dict()
        assert found == result[which][split]
        assert set(found) == {"samples", "peers", "leader", "ensemble", "ema"}
    assert averaged.evaluate(which)["ema"] == result[which]["test"]["ema"]


def test_a_run_without_an_ema_says_so(trained):
    restored = runs.restore(trained)
    assert not restored.has_ema
    with pytest.raises(UserError, match=r"no moving average of the leader's weights: train with --ema 0\.999$"):
        restored.ema()
