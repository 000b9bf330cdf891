"""Runs on images that are given in Python."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import peerdistill
from peerdistill.errors import Failure, UserError
from peerdistill.runs import Run
from support.command_line import run as peerdistill_command
from support.digits import digit_images, write_npz

QUICK = {"backbone": "resnet8", "peers": 2, "epochs": 1, "batch_size": 32, "contrast": {"count": 8}}
IMAGES, LABELS = digit_images(3, 120)
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    path = tmp_path_factory.mktemp("given") / "run"
    return peerdistill.train((IMAGES, LABELS), class_names=NAMES, run=path, **QUICK)


class Photos(Dataset):
    """PIL images of different sizes."""

    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        pixels = np.random.default_rng(index).integers(0, 256, (20 + index, 24, 3), dtype=np.uint8)
        return Image.fromarray(pixels), index % 2


def test_a_run_on_arrays_is_that_on_a_file_of_them(run, tmp_path):
    file = write_npz(tmp_path / "digits.npz", IMAGES, LABELS)
    other = peerdistill.train(f"npz:{file}", run=tmp_path / "run", **QUICK)
    assert run.metrics_file.read_bytes() == other.metrics_file.read_bytes()
    assert run.evaluate() == other.evaluate()


def test_the_folder_of_the_run_is_all_that_later_commands_need(run, tmp_path):
    moved = Run(shutil.copytree(run.path, tmp_path / "moved"))
    run.images_file.rename(tmp_path / "away.npz")  # as if the run had been moved, not copied
    try:
        assert peerdistill_command("train", "--resume", "--run", moved.path).code == 0
        assert moved.config.data.data == f"npz:{moved.images_file}"
        done = peerdistill_command("evaluate", moved.path, "--json")
        assert json.loads(done.stdout)["samples"] == 24
        assert moved.export("safetensors").samples > 0
    finally:
        (tmp_path / "away.npz").rename(run.images_file)


def test_a_run_is_resumed_with_the_same_images_only(run, tmp_path):
    path = shutil.copytree(run.path, tmp_path / "run")
    before = run.metrics_file.read_bytes()
    again = peerdistill.train((IMAGES, LABELS), class_names=NAMES, run=path, resume=True, **QUICK)
    assert again.metrics_file.read_bytes() == before
    with pytest.raises(UserError, match="the training images have changed since the run was started"):
        peerdistill.train((IMAGES[::-1].copy(), LABELS), class_names=NAMES, run=path, resume=True, **QUICK)


def test_a_data_set_with_test_images(tmp_path):
    run = peerdistill.train(Photos(), test=Photos(), run=tmp_path / "run", image_size=16, **QUICK)
    found = run.evaluate()
    assert (found["samples"], list(found["leader"]["per_class"])) == (40, ["cat", "dog"])
    assert run.test_images_file.exists()
    given = run.evaluate(data=Photos())
    assert given == {**found, "split": "all"}


def test_images_in_memory_are_evaluated_by_their_names(run):
    expected = run.evaluate(data=(IMAGES, LABELS))
    assert expected["samples"] == 120
    names = np.array(NAMES)[LABELS]
    assert run.evaluate(data=(torch.from_numpy(IMAGES[:, None] / 255), names.tolist())) == expected
    order = np.array([2, 0, 1])
    assert run.evaluate(data=(IMAGES, order[LABELS]), class_names=["b", "c", "a"]) == expected
    only_b = run.evaluate(data=(IMAGES[names == "b"], ["b"] * int((names == "b").sum())))
    assert only_b["leader"]["per_class"]["b"]["recall"] == expected["leader"]["per_class"]["b"]["recall"]


def test_images_in_memory_are_predicted_as_their_files(run, tmp_path):
    files = [tmp_path / f"{row}.png" for row in range(3)]
    for file, pixels in zip(files, IMAGES, strict=False):
        Image.fromarray(pixels).save(file)
    expected = [found.probabilities for found in run.predict(files)]
    pictures = [Image.open(file) for file in files]
    for given in (IMAGES[:3], torch.from_numpy(IMAGES[:3, None] / 255), list(IMAGES[:3]), pictures):
        found = run.predict(given)
        assert [one.path for one in found] == [0, 1, 2]
        assert [one.probabilities for one in found] == expected
    assert [one.path for one in run.predict([pictures[0], files[1], IMAGES[2, ..., None]])] == [0, files[1], 2]
    with pytest.raises(UserError, match=r"^picture 1 must be a path, .* found float64 \(8, 8\)$"):
        run.predict([IMAGES[0], IMAGES[0] / 255])


def test_images_of_a_few_shot_run(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (160, 16, 16, 1), dtype=np.uint8)
    options = {"ways": 2, "shots": 1, "queries": 1, "episodes": 2, "episodes_per_epoch": 2, "method": "dml"}
    options |= {"backbone": "conv4", "peers": 2, "test": {"ways": 2, "episodes": 5}, "validation": {"ways": 2}}
    run = peerdistill.train((images, np.arange(160) % 20), kind="episodes", run=tmp_path / "run", **options)
    assert run.evaluate()["split"] == "test"
    with pytest.raises(UserError, match="is a few-shot run: it is evaluated on episodes of its own data"):
        run.evaluate(data=(images, np.arange(160) % 20))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"data": IMAGES}, r"data must be \(images, labels\), .* found ndarray of type uint8 and shape \(120, 8, 8\)"),
        ({"data": (IMAGES, LABELS[1:])}, "data has 120 images but 119 labels: one is needed for each image"),
        ({"data": (IMAGES, LABELS), "test": "npz:t.npz"}, r"test must be \(images, labels\), .* found 'npz:t.npz'"),
        ({"data": (IMAGES, LABELS), "test": (IMAGES[:, :7, :7], LABELS)}, "test has images of shape .* but data of"),
        ({"data": (IMAGES, LABELS), "epoch": 1}, "unknown option 'epoch': did you mean epochs"),
        ({"data": "digits", "class_names": NAMES}, "class_names applies to images in memory, found data 'digits'"),
        ({"data": "digits", "test": (IMAGES, LABELS)}, "test must be a name, as data 'digits' is, found a tuple of 2"),
    ],
)
def test_wrong_input_is_an_error_of_one_sentence(tmp_path, given, sentence):
    data = given.pop("data")
    with pytest.raises(UserError, match=sentence):
        peerdistill.train(data, run=tmp_path / "run", **{**QUICK, **given})
    assert not (tmp_path / "run").exists()


def test_other_images_that_do_not_fit_are_refused(run):
    with pytest.raises(UserError, match=r"the images of data must be of shape \(1, 8, 8\), found \(1, 4, 4\)"):
        run.evaluate(data=(IMAGES[:, :4, :4], LABELS))
    with pytest.raises(UserError, match="label 'x' of sample 0 of data is not one of its class_names"):
        run.evaluate(data=(IMAGES, ["x"] * 120))
    with pytest.raises(UserError, match="split does not apply to images in memory, found val"):
        run.evaluate(data=(IMAGES, LABELS), split="val")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(path: Path, write) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peerdistill.runs.given_images.write_synced", full)
    with pytest.raises(Failure, match=r"images.npz can't be written: no space left on device"):
        peerdistill.train((IMAGES, LABELS), run=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
