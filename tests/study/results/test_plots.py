import numpy as np
import pytest
from PIL import Image

from peerdistill.errors import UserError
from peerdistill.study.results.plots import panels_of, plot

AXES = {"method": {"single": {"method": "baseline", "peers": 1}, "DML": {"method": "dml", "peers": 2}}}
CROSSING = {
    "axes": AXES,
    "sweep": {"epochs": [10, 40]},
    "equal_compute": False,
    "baseline": {"method": "single"},
    "figure": {"x": "time", "series": ["method"], "y": ["leader", "ensemble"]},
}
ERRORS = {"single": [30.0, 31.0, 33.0], "DML": [29.0, 30.5]}


def test_lines_go_through_the_means_over_seeds(study_of, record_of):
    study = study_of(**CROSSING)
    panels = panels_of(study, record_of(study, ERRORS, {"single": 100.0, "DML": 250.0}))
    assert list(panels) == [("error", "leader"), ("error", "ensemble")]
    leader, ensemble = panels.values()
    assert list(leader) == ["single", "DML"]
    assert [point.epochs for point in leader["DML"]] == [10, 40]
    for point in leader["DML"]:
        assert (point.x, point.y.mean, point.y.seeds) == (250.0, pytest.approx(29.75), 2)
        assert point.y.deviation == pytest.approx(np.std(ERRORS["DML"], ddof=1))
    assert ensemble["DML"][0].y.mean == pytest.approx(28.75)
    assert ensemble["single"][0].y.mean == leader["single"][0].y.mean  # it is its own ensemble


@pytest.mark.parametrize(("x", "places"), [("peers", [1, 2]), ("lr", [0.1, 0.1]), ("epochs", [10, 40])])
def test_any_number_may_be_on_the_horizontal_axis(study_of, record_of, x, places):
    study = study_of(**{**CROSSING, "options": {"validation": 0, "lr": 0.1}, "figure": {"x": x, "series": ["epochs"]}})
    (lines,) = panels_of(study, record_of(study, ERRORS)).values()
    found = {point.x for points in lines.values() for point in points}
    assert found == set(places)


def test_multiply_adds_are_in_units_of_a_million_millions(study_of, record_of):
    study = study_of(**{**CROSSING, "figure": {"x": "multiply_adds", "series": ["method"], "y": ["leader"]}})
    (lines,) = panels_of(study, record_of(study, ERRORS, adds={"single": 10**12, "DML": 25 * 10**11})).values()
    assert {name: {point.x for point in points} for name, points in lines.items()} == {"single": {1.0}, "DML": {2.5}}


def test_the_figure_is_a_picture_of_its_size(study_of, record_of, tmp_path):
    study = study_of("small", **CROSSING)
    plot(study, record_of(study, ERRORS, {"single": 100.0, "DML": 2500.0}), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.size == (1380, 570)  # two panels of 4.6 x 3.8 inches, 150 dots per inch
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours  # a line in each of the first two colours


def test_what_cannot_be_drawn_is_one_sentence(study_of, record_of, tmp_path):
    without = study_of()
    with pytest.raises(UserError, match="has no figure: its file has no key 'figure'"):
        plot(without, record_of(without, {}), tmp_path / "figure.png")
    study = study_of(**CROSSING)
    with pytest.raises(UserError, match="none of its runs is finished"):
        plot(study, record_of(study, {}), tmp_path / "figure.png")
    words = study_of(**{**CROSSING, "figure": {"x": "backbone"}})
    with pytest.raises(UserError, match="the x axis of a figure must be a number, found backbone resnet20"):
        plot(words, record_of(words, ERRORS), tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())


def test_each_data_set_has_lines_of_its_own(study_of, record_of):
    datasets = {name: {"data": "digits", "recipe": "digits"} for name in ("one", "two")}
    study = study_of(**{**CROSSING, "datasets": datasets, "scales": {}})
    leader, _ = panels_of(study, record_of(study, ERRORS, {"single": 100.0, "DML": 250.0})).values()
    assert list(leader) == ["one, single", "one, DML", "two, single", "two, DML"]
