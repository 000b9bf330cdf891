"""Plots are checked by their pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peerdistill.deploy import Prediction
from peerdistill.study.figures import plot_comparison, plot_predictions


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def has_colour(path: Path, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels(path) - colour).max(axis=-1) < 12).any())


@pytest.fixture
def sheet(tmp_path: Path):
    def draw(labels: list[str]) -> Path:
        predictions = []
        for number in range(len(labels)):
            picture = tmp_path / f"{number}.png"
            Image.new("RGB", (8, 8), (0, 200, 40 * number)).save(picture)
            predictions.append(Prediction(picture, ("a", "b"), (0.75, 0.25)))
        plot_predictions(predictions, labels, tmp_path / "sheet.png")
        return tmp_path / "sheet.png"

    return draw


def test_contact_sheet_shows_every_picture(sheet):
    path = sheet(["a"] * 5)
    assert all(has_colour(path, (0, 200, 40 * number)) for number in range(5))


def test_contact_sheet_marks_only_wrong_predictions(sheet):
    marked = (0xD5, 0x5E, 0x00)
    assert not has_colour(sheet(["a", "a"]), marked)
    assert has_colour(sheet(["a", "b"]), marked)


def test_comparison_draws_the_mean_of_each_way_and_a_line_for_each_part(tmp_path):
    accuracies = {"alone": [88.0, 90.0], "leader": [91.0, 92.0], "ensemble": [92.0, 94.0], "longer": [80.0]}
    losses = [{"total": 3.0, "cross_entropy": 2.0 / epoch, "ensemble": 0.5, "contrast": 0.1} for epoch in (1, 2, 3)]
    plot_comparison(accuracies, losses, tmp_path / "curves.png")
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0xCC, 0x79, 0xA7)):
        assert has_colour(tmp_path / "curves.png", colour)
