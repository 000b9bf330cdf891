"""Scales: what they change, and the statement that follows from it."""

import pytest

from peerdistill.errors import UserError
from peerdistill.study.plan import Scale, load_study, scale_names

TEXT = """\
datasets: {digits: {data: digits, size: {classes: 10, per_class: 115}}}
seeds: 4
options: {backbone: resnet8}
axes:
  method: {ours: {method: mcl-okd, contrast: {count: 64}}, theirs: {method: okddip, ramp: 5}}
sweep: {epochs: [2, 10]}
baseline: {method: theirs}
equal_compute: false
"""


def scaled(write, scale: str, text: str = TEXT):
    study = load_study(write(f"{text}scales: {{tiny: {{{scale}}}}}\n"), scale="tiny")
    return study, [cell.config() for cell in study.cells]


def test_values_are_replaced_where_the_option_exists(write):
    study, configs = scaled(write, "digits: {distillation: 2.0, contrast: {count: 8}, lr: 0.5}")
    assert {config.training.lr for config in configs} == {0.5}
    assert [config.options["distillation"] for config in configs if config.method == "okddip"] == [2.0] * 8
    assert [config.options["contrast"].count for config in configs if config.method == "mcl-okd"] == [8] * 8
    statement = "contrast.count 8 instead of 64, distillation 2.0 instead of 1.0, lr 0.5 instead of 0.05"
    assert study.scale.statement("digits") == f"tiny: {statement}"


def test_certain_values_only(write):
    study, configs = scaled(write, "digits: {epochs: {10: 4}, backbone: {resnet20: resnet32}}")
    assert {config.training.epochs for config in configs} == {2, 4}
    assert {config.cohort.backbone for config in configs} == {"resnet8"}
    assert study.scale.statement("digits") == "tiny: 4 of 10 epochs"
    assert {cell.labels["epochs"] for cell in study.cells} == {"2", "10"}


def test_a_scale_never_makes_a_study_larger(write):
    study, configs = scaled(write, "seeds: 9, digits: {epochs: 5, subset: {classes: 5, per_class: 20}}")
    assert {config.training.epochs for config in configs} == {2, 5}
    assert study.seeds == (0, 1, 2, 3)
    assert study.scale.statement("digits") == (
        "tiny: 5 of 10 epochs, 5 of 10 classes, 20 of 115 training images a class"
    )


def test_fewer_seeds_are_the_first_ones(write):
    study, _ = scaled(write, "seeds: 2", TEXT.replace("seeds: 4", "seeds: [7, 5, 3]"))
    assert study.seeds == (5, 7)
    study = load_study(write(TEXT), scale="smoke", seeds=3)
    assert study.seeds == (0, 1, 2)


def test_a_statement_lists_each_reduction_once(write):
    study, _ = scaled(write, "digits: {epochs: 1}")
    assert study.scale.statement("digits") == "tiny: 1 of 2 and 1 of 10 epochs"


def test_a_teacher_is_reduced_too(write):
    text = """\
data: digits
seeds: 1
axes: {method: {KD: {method: kd, teacher: {backbone: resnet32}}}}
"""
    study, _ = scaled(write, "digits: {epochs: 3, backbone: {resnet32: resnet8}}", text)
    teacher = next(cell for cell in study.cells if cell.role == "teacher").config()
    assert (teacher.training.epochs, teacher.cohort.backbone) == (3, "resnet8")


def test_full_reduces_nothing():
    assert "full" in scale_names()
    assert {cell.epochs for cell in load_study("table2", only={"network": ["ResNet-32"]}).cells} == {300}
    assert Scale("full").statement("CIFAR-100") == "full: nothing is reduced"


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("digits: 3", "digits of scale tiny in .*mine.yaml must be a mapping, found 3"),
        ("digits: {epochs: 0}", "epochs .*0"),
        ("digits: {epochs: many}", "epochs.* must be an integer, found many"),
        ("seeds: few", "seeds of scale tiny in .*mine.yaml must be an integer or null, found few"),
    ],
)
def test_mistakes_are_one_sentence(write, scale, message):
    with pytest.raises(UserError, match=message):
        scaled(write, scale)
