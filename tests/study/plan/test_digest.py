"""The digest of a configuration: what changes results changes it, and nothing else does."""

from dataclasses import replace

import pytest
import yaml

from peerdistill.config import Config, read_config
from peerdistill.study.plan import Cell, Place, digest

BASE = {"data": "digits", "method": "mcl-okd", "epochs": 3}


def of(**options) -> str:
    return digest(Config.from_dict({**BASE, **options}))


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 7},
        {"device": "cpu", "loggers": [], "log_every": 3, "checkpoint_every": 2},
        {"workers": 0, "cache": "off", "root": "elsewhere"},
        {"method": "mcl-okd", "beta": 0.025},
    ],
    ids=str,
)
def test_seed_machine_and_defaults_do_not_count(options):
    assert of(**options) == of()


@pytest.mark.parametrize(
    "options",
    [{"epochs": 4}, {"beta": 0.1}, {"contrast.count": 8}, {"sharing": "network"}, {"subset.classes": 5}, {"peers": 3}],
    ids=str,
)
def test_options_that_change_results_count(options):
    assert of(**options) != of()


def test_places_of_the_data_do_not_count():
    """The recipe is named: otherwise it depends on the kind of data."""
    options = {"recipe": "cifar", "validation": 0.0, "backbone": "resnet20"}
    named = Config.from_dict({**options, "data": "cifar100"})
    arrays = Config.from_dict({**options, "data": "npz:/a/one.npz,/b/two.npz", "test": "npz:/c.npz"})
    assert digest(named) == digest(arrays)


def test_the_configuration_of_a_run_has_the_digest_of_its_cell(tmp_path):
    cell = Cell({"dataset": "digits"}, "classes", {"method": "dml", "contrast": None}, 4, place=Place("digits"))
    cell = replace(cell, options={"method": "dml", "temperature": 1.5, "recipe": "digits"})
    file = tmp_path / "config.yaml"
    file.write_text(cell.config().as_yaml())
    assert "temperature: 1.5" in file.read_text()
    assert digest(read_config(file)) == cell.digest


def test_a_teacher_counts_by_its_configuration_and_seed(tmp_path):
    teacher = Cell({"dataset": "digits"}, "classes", {"method": "baseline", "peers": 1}, 1, place=Place("digits"))
    student = replace(teacher, options={"method": "kd"}, seed=0, teacher=teacher)
    run = tmp_path / "anything"
    run.mkdir()
    (run / "config.yaml").write_text(teacher.config().as_yaml())
    assert digest(student.config(teacher=run)) == student.digest
    other = yaml.safe_load(teacher.config().as_yaml()) | {"seed": 2}
    (run / "config.yaml").write_text(yaml.safe_dump(other))
    assert digest(student.config(teacher=run)) != student.digest


def test_a_method_that_is_not_installed_here_has_a_digest(tmp_path):
    options = {"data": "digits", "recipe": "digits", "method": "not_installed:method"}
    first, second = (digest(Config.from_dict({**options, "strength": value})) for value in (1, 2))
    assert first != second
