import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peerdistill.deploy import ExportReport, LeaderCard, Prediction, predict, predict_with
from peerdistill.deploy.formats import FORMATS
from peerdistill.errors import UserError


def planted(images: np.ndarray) -> np.ndarray:
    """Return logits with the mean pixel in class 0."""
    logits = np.zeros((len(images), 10), np.float32)
    logits[:, 0] = images.mean(axis=(1, 2, 3))
    return logits


@pytest.mark.parametrize(
    "format", [name for name, format in FORMATS.items() if not (format.needs_calibration or format.is_folder)]
)
def test_predictions_equal_a_plain_computation(
    reports: dict[str, ExportReport], resnet: nn.Module, digits: Tensor, digit_files: list[Path], format
):
    found = predict(reports[format].path, digit_files, top=3, batch_size=4, trust=True)
    with torch.no_grad():
        probabilities = resnet((digits[:7] / 255 - 0.31) / 0.37).softmax(1)
    best = probabilities.topk(3)
    assert [prediction.path for prediction in found] == digit_files
    for prediction, values, classes in zip(found, best.values, best.indices, strict=True):
        assert prediction.classes == tuple(str(k) for k in classes.tolist())
        assert prediction.probabilities == pytest.approx(values.tolist(), abs=1e-4)


def test_onnx_predicts_without_importing_torch(reports: dict[str, ExportReport], digit_files: list[Path]):
    file = reports["onnx"].path
    program = (
        "import sys; from pathlib import Path; from peerdistill.deploy import predict;"
        "model, *pictures = map(Path, sys.argv[1:]);"
        "print(*[p.classes[0] for p in predict(model, pictures)]);"
        "assert not {'torch', 'torchvision', 'lightning', 'onnx'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, str(file), *map(str, digit_files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [p.classes[0] for p in predict(file, digit_files)]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_predictions_do_not_depend_on_the_batch_size(card: LeaderCard, digit_files: list[Path], batch_size: int):
    sizes = []

    def score(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return planted(images)

    expected = [predict_with(planted, card, [file])[0] for file in digit_files]
    assert predict_with(score, card, digit_files, batch_size=batch_size) == expected
    assert max(sizes) == min(batch_size, 7)
    assert sum(sizes) == 7


def test_scorer_sees_pixels_in_0_to_1_of_the_size_and_channels_of_the_card(card: LeaderCard, tmp_path: Path):
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    picture.paste((0, 0, 255), (10, 0, 30, 20))  # the centre crop is blue
    picture.save(tmp_path / "flag.png")
    colour = dataclasses.replace(card, channels=3, mean=(0.5,) * 3, std=(0.2,) * 3, image_size=6)
    seen = []

    def score(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return planted(images)

    predict_with(score, colour, [tmp_path / "flag.png"])
    (images,) = seen
    assert images.dtype == np.float32
    assert images.shape == (1, 3, 6, 6)
    assert images[0, :, 3, 3].tolist() == [0, 0, 1]


def test_top_classes_are_ordered_by_probability(card: LeaderCard, digit_files: list[Path]):
    def score(images: np.ndarray) -> np.ndarray:
        return np.tile(np.log(np.arange(1, 11, dtype=np.float32)), (len(images), 1)) + 500

    (prediction,) = predict_with(score, card, digit_files[:1], top=99)
    assert prediction.classes == tuple("9876543210")
    assert prediction.probabilities == pytest.approx([k / 55 for k in range(10, 0, -1)], rel=1e-4)
    (first,) = predict_with(score, card, digit_files[:1], top=1)
    assert first == Prediction(digit_files[0], ("9",), prediction.probabilities[:1])


def test_a_folder_stands_for_its_pictures(card: LeaderCard, digit_files: list[Path]):
    of_folder = predict_with(planted, card, [digit_files[0].parent])
    assert of_folder == predict_with(planted, card, sorted(digit_files))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_progress_reaches_the_number_of_pictures(card: LeaderCard, digit_files: list[Path], batch_size: int):
    calls = []
    pictures = [*digit_files, Path("none.png")]
    how = {"unreadable": lambda error: None, "progress": lambda *call: calls.append(call)}
    predict_with(planted, card, pictures, batch_size=batch_size, **how)
    done = [*range(batch_size, len(pictures), batch_size), len(pictures)]
    assert calls == [(number, len(pictures)) for number in done]


def test_the_error_names_a_file_that_is_not_a_picture(card: LeaderCard, digit_files: list[Path], tmp_path: Path):
    (tmp_path / "note.jpg").write_text("not a picture")
    with pytest.raises(UserError, match=r"note.jpg"):
        predict_with(planted, card, [digit_files[0], tmp_path / "note.jpg"])


def test_unreadable_pictures_are_reported_and_the_others_classified(
    card: LeaderCard, digit_files: list[Path], tmp_path: Path
):
    (tmp_path / "note.jpg").write_text("not a picture")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "link.png").symlink_to(digit_files[1])
    bad = [tmp_path / name for name in ("none.png", "note.jpg", "pipe.png", "loop.png")]
    pictures = [bad[0], digit_files[0], bad[1], tmp_path / "link.png", *bad[2:]]
    for batch_size in (1, 2, 100):
        errors = []
        found = predict_with(planted, card, pictures, batch_size=batch_size, unreadable=errors.append)
        assert [prediction.path for prediction in found] == [digit_files[0], tmp_path / "link.png"]
        expected = predict_with(planted, card, digit_files[:2])
        assert [prediction.probabilities for prediction in found] == [other.probabilities for other in expected]
        assert all(name in str(error) for error, name in zip(errors, map(str, bad), strict=True))


def test_files_may_be_strings(reports: dict[str, ExportReport], digit_files: list[Path]):
    file = reports["onnx"].path
    assert predict(str(file), [str(picture) for picture in digit_files]) == predict(file, digit_files)


def test_a_single_file_instead_of_a_list_is_refused(card: LeaderCard, digit_files: list[Path]):
    with pytest.raises(UserError, match=r"pictures must be a list of files, found the single file .*0.png"):
        predict_with(planted, card, str(digit_files[0]))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((1, 9), np.float32), "the leader gives 9 logits and its card names 10 classes"),
        (np.full((1, 10), np.nan, np.float32), "the leader gives logits that are not finite for 1 of 1 pictures"),
        (np.zeros((2, 10), np.float32), r"one row of logits for each of 1 pictures, found shape \(2, 10\)"),
    ],
)
def test_outputs_that_do_not_match_the_card_are_refused(
    card: LeaderCard, digit_files: list[Path], logits, message: str
):
    with pytest.raises(UserError, match=message):
        predict_with(lambda images: logits, card, digit_files[:1])


def test_large_pictures_are_scored_in_smaller_batches(card: LeaderCard, digit_files: list[Path]):
    sizes = []

    def score(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return planted(images)

    predict_with(score, dataclasses.replace(card, image_size=3000), digit_files[:2])
    assert sizes == [1, 1]


@pytest.mark.parametrize("wrong", [{"top": 0}, {"batch_size": 0}])
def test_numbers_below_one_are_refused(card: LeaderCard, digit_files: list[Path], wrong: dict):
    with pytest.raises(UserError, match="must be at least 1, found 0"):
        predict_with(planted, card, digit_files, **wrong)
