"""Methods are found and built by name."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from peerdistill import Cohort, methods
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError

TRAIN_LABELS = torch.arange(60) % 5


def test_each_file_with_a_card_is_a_method():
    paths = Path(methods.__file__).parent.glob("*.py")
    files = {path.stem for path in paths if "\nCARD = " in path.read_text(encoding="utf-8")}
    assert {re.sub(r"\W", "_", name) for name in methods.names()} == files
    for file in files:
        assert getattr(methods, file) is import_module(f"peerdistill.methods.{file}").CARD.build


def test_methods_without_a_teacher_come_first_each_group_sorted_by_name():
    order = [(methods.find(name).needs_teacher, name) for name in methods.names()]
    assert order == sorted(order)
    assert {name for needs_teacher, name in order if needs_teacher} >= {"kd", "crd", "crd+kd", "rkd-d", "rkd-da"}
    assert not methods.find("mcl-okd").needs_teacher


def test_label_smoothing_and_class_weights_are_those_of_the_criterion(cohort):
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]
    options = {"train_labels": TRAIN_LABELS, "label_smoothing": 0.1, "class_weights": weights}
    criterion = methods.build("one", cohort, **options).criterion
    assert criterion.label_smoothing == 0.1
    assert criterion.class_weights.tolist() == weights
    assert methods.build("one", cohort, train_labels=TRAIN_LABELS).criterion.class_weights is None


def test_options_reach_the_terms(cohort):
    contrast = ContrastOptions(count=12, width=8)
    options = {"temperature": 2.0, "beta": 0.5, "contrast": contrast}
    method = methods.build("mcl-okd", cohort, train_labels=TRAIN_LABELS, **options)
    weights = {name: ramp.at(0) for name, ramp in method.weights.items()}
    assert weights == {"cross_entropy": 1.0, "ensemble": 1.0, "contrast": 0.5}
    assert method.terms["ensemble"].temperature == 2.0
    assert method.terms["contrast"].options == contrast


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mcl_okd", {}, "unknown method 'mcl_okd': did you mean mcl-okd"),
        ("nothing", {}, "unknown method 'nothing': choose from baseline, cl-ilr"),
        ("mcl-okd", {"temprature": 2.0}, "unknown option of mcl-okd 'temprature': did you mean temperature"),
        ("baseline", {"beta": 0.1}, "baseline has no options, found 'beta'"),
        ("mcl-okd", {"beta": -0.1}, "beta must be at least 0 and at most .*, found -0.1"),
        ("mcl-okd", {"temperature": 0.0}, "temperature must be above 0 and at most .*, found 0.0"),
        ("pcl", {"momentum": 1.0}, "momentum must be at least 0 and below 1, found 1.0"),
        ("mcl", {"width": 0}, "width must be at least 1 and at most .*, found 0"),
        ("mcl-okd", {"contrast": ContrastOptions(width=0)}, r"contrast\.width must be at least 1 and .*, found 0"),
        ("kd", {}, "kd needs a teacher: give a run or an exported .safetensors file"),
    ],
)
def test_errors(cohort, name, options, message):
    with pytest.raises(UserError, match=message):
        methods.build(name, cohort, train_labels=TRAIN_LABELS, **options)


@pytest.mark.parametrize("name", ["kd", "crd", "crd+kd", "rkd-d", "rkd-da"])
def test_methods_with_a_teacher_train_one_student(make_cohort, make_method, name):
    with pytest.raises(UserError, match=rf"{name.partition('+')[0]} trains one student: peers must be 1, found 2"):
        make_method(name, Cohort("resnet8", classes=5, peers=2))


@pytest.mark.parametrize(
    ("name", "fewest"),
    [("dml", 2), ("cl-ilr", 2), ("one", 2), ("okddip", 3), ("mcl-okd", 2), ("kdcl", 2), ("pcl", 2), ("mcl", 2)],
)
def test_too_few_peers(make_cohort, make_method, name, fewest):
    with pytest.raises(UserError, match=f"{name} needs at least {fewest} peers, found {fewest - 1}"):
        make_method(name, make_cohort("baseline", peers=fewest - 1))
