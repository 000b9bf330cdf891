from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from peerdistill.config import CohortConfig, Config, parse, read_config
from peerdistill.config.kinds import CLASSES, EPISODES
from peerdistill.config.typed import dotted
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError


@pytest.mark.parametrize(
    "words",
    [
        ["digits"],
        ["digits", "--method=baseline", "--peers=1"],
        ["cifar100", "--sharing=[1,2,4,4]", "--backbone=resnet56", "--seed=3"],
        ["npz:a.npz,b.npz", "--test=npz:c.npz", "--optimizer.name=adam", "--contrast.views=core", "--beta=0"],
        ["digits", "--backbone=timm:resnet10t", "--pretrained"],
        [
            "digits",
            "--sharing=network",
            "--peers=3",
            "--peer_backbones=[resnet20,resnet10t]",
            "--weights=w.safetensors",
        ],
        ["digits", "--share_until=layer1", "--schedule.name=constant", "--precision=bf16-mixed"],
    ],
)
def test_a_configuration_survives_its_file(tmp_path, words):
    config, _ = parse(words)
    file = tmp_path / "config.yaml"
    file.write_text(config.as_yaml())
    assert read_config(file) == config


def test_the_file_is_complete_flat_and_under_the_options_names(tmp_path):
    values = yaml.safe_load(parse(["digits"])[0].as_yaml())
    assert {"data", "validation", "backbone", "sharing", "peers", "method", "epochs", "lr", "beta"} <= set(values)
    assert {name for name, value in values.items() if isinstance(value, dict)} == {
        "growth",
        "mix",
        "subset",
        "optimizer",
        "schedule",
        "contrast",
    }


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    assert parse(["photos"])[0].data.data == str(tmp_path / "photos")
    data = parse(["npz:a.npz, sub/b.npz", "--test=npz:c.npz", "--root=cifar"])[0].data
    assert data.data == f"npz:{tmp_path}/a.npz,{tmp_path}/sub/b.npz"
    assert data.test == f"npz:{tmp_path}/c.npz"
    assert data.root == str(tmp_path / "cifar")


def test_paths_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    assert parse(["~/photos"])[0].data.data == str(tmp_path / "photos")
    assert parse(["npz:~/a.npz"])[0].data.data == f"npz:{tmp_path}/a.npz"


def test_a_name_stays_a_name():
    assert parse(["digits"])[0].data.data == "digits"


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        ("digits", "runs/digits-mcl-okd-resnet20"),
        ("npz:train.npz,more.npz", "runs/train-mcl-okd-resnet32"),
        ("my/photos", "runs/photos-mcl-okd-resnet18"),
    ],
)
def test_a_run_without_a_name_is_called_by_data_method_and_backbone(data, folder):
    assert parse([data])[0].default_run == folder


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": "resnet21"}, "unknown backbone 'resnet21': did you mean .*resnet20"),
        ({"peers": 0}, "peers must be at least 1 and at most 256, found 0"),
        ({"sharing": "trunk"}, "unknown sharing 'trunk': "),
    ],
)
def test_the_cohort_s_options_are_checked(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        CohortConfig(**changes).check()
    config, _ = parse(["digits"])
    with pytest.raises(UserError, match=sentence):
        replace(config, cohort=CohortConfig(**changes)).check()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--validation=1", "validation must be at least 0 and below 1"),
        ("--lr=0", "lr must be above 0"),
        ("--contrast.temperature=0", r"contrast\.temperature must be at least 0.003"),
        ("--method=baseline", None),
    ],
)
def test_every_part_is_checked(option, sentence):
    if sentence is None:
        parse(["digits", option])[0].check()
        return
    with pytest.raises(UserError, match=sentence):
        parse(["digits", option])


def test_an_unknown_method_is_refused():
    config, _ = parse(["digits"])
    with pytest.raises(UserError, match="unknown method 'mcl-kd'"):
        replace(config, method="mcl-kd").check()


def test_a_configuration_says_where_backbones_were_found():
    words = ["digits", "--backbone=resnet10t", "--peer_backbones=[shufflenet_v2_x0_5,resnet20]"]
    cohort = parse(words)[0].cohort
    assert cohort.backbone == "timm:resnet10t"
    assert cohort.peer_backbones == ["torchvision:shufflenet_v2_x0_5", "resnet20"]


def test_the_run_of_a_librarys_network_has_a_plain_folder_name():
    assert parse(["digits", "--backbone=resnet10t"])[0].default_run == "runs/digits-mcl-okd-timm-resnet10t"


@pytest.mark.parametrize(("kind", "name"), [(CLASSES, "digits"), (CLASSES, "cifar10"), (EPISODES, "omniglot")])
def test_built_in_data_win_over_a_folder_of_that_name(tmp_path, monkeypatch, kind, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    config, _ = parse([name], kind)
    assert config.data.data == name
    config, _ = parse([f"./{name}"], kind)
    assert config.data.data == str(tmp_path / name)


def test_names_of_the_other_command_are_folders(tmp_path, monkeypatch):
    (tmp_path / "omniglot").mkdir()
    monkeypatch.chdir(tmp_path)
    config, _ = parse(["omniglot"])
    assert config.data.data == str(tmp_path / "omniglot")


@pytest.mark.parametrize("option", ["teacher_weight", "teacher_temperature"])
def test_a_method_with_a_teacher_has_weights_of_its_own(tmp_path, option):
    words = ["digits", f"--teacher={tmp_path}", f"--{option}=0.5"]
    config, _ = parse([*words, "--method=kd"])
    message = f"{option} applies to methods that do not need a teacher, found 0.5: kd has the options temperature"
    with pytest.raises(UserError, match=message):
        config.check()
    parse([*words, "--method=dml"])[0].check()
    parse([*words[:2], "--method=kd"])[0].check()


@pytest.mark.parametrize("kind", [CLASSES, EPISODES], ids=lambda kind: kind.name)
def test_a_complete_mapping_gives_the_same_configuration(kind):
    config, _ = parse([{"classes": "digits", "episodes": "omniglot"}[kind.name], "--method=mcl", "--lr=1"], kind)
    values = config.as_dict()
    assert values["kind"] == kind.name
    assert Config.from_dict(values) == config
    assert Config.from_dict(dotted(values)) == config


def test_a_partial_mapping_is_completed_as_a_command_line_is():
    values = {"data": "cifar100", "method": "dml", "optimizer": {"momentum": 0.5}, "schedule.warmup": 0.25, "lr": 1}
    words = ["cifar100", "--method=dml", "--optimizer.momentum=0.5", "--schedule.warmup=0.25", "--lr=1"]
    assert Config.from_dict(values) == parse(words)[0]
    assert Config.from_dict({"data": "cifar100", "recipe": "digits"}) == parse(["cifar100", "--recipe=digits"])[0]


def test_a_group_of_options_may_be_its_dataclass():
    found = Config.from_dict({"data": "digits", "contrast": ContrastOptions(count=7)})
    assert found.options["contrast"] == ContrastOptions(count=7)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "data is missing in x: it is cifar10, cifar100, digits"),
        (
            {"data": "digits", "kind": "sequences"},
            "unknown kind of run in x 'sequences': choose from classes, episodes",
        ),
        ({"data": "digits", "kind": []}, "unknown kind of run in x"),
        ({"data": "digits", "epoch": 3}, "unknown option in x 'epoch': did you mean epochs"),
        ({"data": "digits", "ways": 5}, "unknown option in x 'ways'"),
        ({"data": "digits", "epochs": 2.5}, "epochs in x must be an integer, found 2.5"),
        ({"data": "digits", "epochs": True}, "epochs in x must be an integer, found True"),
        ({"data": "digits", "lr": "fast"}, "lr in x must be a number, found fast"),
        ({"data": "digits", "lr": -1}, "lr in x must be above 0"),
        ({"data": "digits", "flip": 1}, "flip in x must be true or false, found 1"),
        (
            {"data": "digits", "precision": "8"},
            "precision in x must be 32-true, bf16-mixed or 16-mixed, found the string",
        ),
        (
            {"data": "digits", "sharing": [1, "x"]},
            r"sharing in x must be a string or a list in square brackets, found \[1, 'x'\]",
        ),
        ({"data": "digits", "optimizer": 3}, "optimizer in x must hold options as 'name: value', found 3"),
        ({"data": "digits", "recipe": "mine"}, "unknown recipe 'mine'"),
        ({"data": "digits", "method": None}, "method in x must be a string, found null"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_sentence(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Config.from_dict(values, " in x")


def test_options_of_a_method_that_is_not_installed_are_kept():
    values = parse(["digits", "--method=baseline"])[0].as_dict()
    found = Config.from_dict({**values, "method": "elsewhere:method", "strength": 0.5, "group": {"a": [1]}})
    assert (found.method, found.options) == ("elsewhere:method", {"strength": 0.5, "group": {"a": [1]}})
    assert found.training == parse(["digits", "--method=baseline"])[0].training
    with pytest.raises(UserError, match="elsewhere"):
        found.check()
