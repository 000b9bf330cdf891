import warnings

import numpy as np
import pytest
from PIL import Image

from peerdistill.evaluation import ClassReport
from peerdistill.evaluation.plots import plot_confusion, plot_mistakes, plot_reliability


def report_of(classes: int, samples: int = 60, wrong: float = 0.3, seed: int = 0) -> ClassReport:
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, classes, samples)
    target = np.where(draws.random(samples) < wrong, draws.integers(0, classes, samples), labels)
    logits = draws.normal(size=(samples, classes)).astype(np.float32) + 5 * np.eye(classes, dtype=np.float32)[target]
    return ClassReport(labels, logits, logits.argmax(1))


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("classes", [2, 10, 100, 300])
def test_confusion_is_a_picture_of_limited_size(tmp_path, classes):
    plot_confusion(
        report_of(classes), [f"a long name of class {k}" for k in range(classes)], "leader", tmp_path / "a.png"
    )
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 400 < height < 4000
    assert 400 < width < 4000


def test_confusion_shows_other_counts_as_another_picture(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plot_confusion(report_of(4, seed=seed), list("abcd"), "leader", tmp_path / f"{name}.png")
    a, b, c = (pixels(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("channels", [1, 3])
def test_mistakes_show_the_pictures(tmp_path, channels):
    report = report_of(3)
    assert len(report.mistakes) > 3
    pictures = np.zeros((3, channels, 8, 8), dtype=np.uint8)
    pictures[1] = 255
    pictures[2, 0] = 200
    names = ["$dollar$.png", "new\nline.png", "\udcff.png"]
    plot_mistakes(report, ["_{a}$", "^\\b", "c"], pictures, names, "$leader", tmp_path / "a.png")
    shown = pixels(tmp_path / "a.png").reshape(-1, 3)
    colours, counts = np.unique(shown, axis=0, return_counts=True)
    common = {tuple(colour) for colour, count in zip(colours.tolist(), counts, strict=True) if count > 10_000}
    third = (200, 200, 200) if channels == 1 else (200, 0, 0)
    assert {(0, 0, 0), (255, 255, 255), third} <= common


def test_no_mistakes_at_all(tmp_path):
    report = report_of(3, wrong=0)
    plot_mistakes(report, list("abc"), np.empty((0, 3, 8, 8), np.uint8), [], "leader", tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("samples", [1, 60])
def test_reliability(tmp_path, samples):
    with warnings.catch_warnings(action="error"):
        plot_reliability(report_of(3, samples), "leader", tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").min() == 0


def test_names_in_scripts_that_the_font_lacks_give_no_warning(tmp_path):
    with warnings.catch_warnings(action="error"):
        plot_confusion(report_of(2), ["\u732b", "\u72ac"], "leader", tmp_path / "a.png")
