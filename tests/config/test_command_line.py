from importlib import resources

import pytest
import yaml

from peerdistill import methods
from peerdistill.config import CohortConfig, parse, read_config, train_parser
from peerdistill.config.kinds import EPISODES
from peerdistill.contrast import ContrastOptions
from peerdistill.data.config import DataConfig
from peerdistill.errors import UserError
from peerdistill.training import TrainingConfig


def flat(values: dict, prefix: str = "") -> dict:
    found = {}
    for name, value in values.items():
        found.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return found


def values_of(*words: str) -> dict:
    """The whole configuration under the options' names."""
    config, _ = parse(words)
    return flat(config.as_dict())


def recipe(name: str) -> dict:
    return yaml.safe_load((resources.files("peerdistill.config.recipes") / f"{name}.yaml").read_text())


@pytest.fixture
def write_yaml(tmp_path):
    """Return a function that writes a configuration file and returns the option that reads it."""

    def write(name: str = "config.yaml", **values) -> str:
        (tmp_path / name).write_text(yaml.safe_dump(values))
        return f"--config={tmp_path / name}"

    return write


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits", "digits"),
        ("cifar10", "cifar"),
        ("cifar100", "cifar"),
        ("npz:some.npz", "arrays"),
        ("./pictures", "folder"),
        ("pictures/of/digits", "folder"),
    ],
)
def test_the_data_choose_the_recipe(data, name):
    expected = recipe(name)
    of_method = expected.pop("methods", {}).get("mcl-okd", {})
    found = values_of(data)
    assert flat(expected) | flat(of_method) == {key: found[key] for key in flat(expected) | flat(of_method)}


def test_a_recipe_can_be_asked_for():
    assert values_of("./pictures", "--recipe", "digits")["epochs"] == recipe("digits")["epochs"]


def test_a_recipe_can_be_asked_for_in_a_file(write_yaml):
    assert values_of("./pictures", write_yaml(recipe="digits"))["epochs"] == recipe("digits")["epochs"]


def test_what_no_recipe_says_is_the_signature_s_default():
    found, of_recipe = values_of("digits"), flat(recipe("digits"))
    defaults = TrainingConfig()
    for name in ("seed", "log_every", "checkpoint_every", "precision"):
        assert name not in of_recipe
        assert found[name] == getattr(defaults, name)
    assert found["peers"] == CohortConfig().peers
    assert found["workers"] == DataConfig("digits").workers
    assert found["contrast.temperature"] == ContrastOptions().temperature
    assert found["temperature"] == 3.0


@pytest.mark.parametrize(("option", "by_recipe"), [("epochs", 20), ("contrast.count", 1024)])
def test_file_wins_over_recipe_and_command_line_over_file(write_yaml, option, by_recipe):
    group, _, name = option.rpartition(".")
    file = write_yaml(**({group: {name: 7}} if group else {name: 7}))
    assert values_of("digits")[option] == by_recipe
    assert values_of("digits", file)[option] == 7
    assert values_of("digits", file, f"--{option}=9")[option] == 9


def test_what_comes_later_wins(write_yaml):
    first, second = write_yaml("first.yaml", epochs=3, lr=0.3), write_yaml("second.yaml", epochs=4)
    found = values_of("digits", first, second)
    assert (found["epochs"], found["lr"]) == (4, 0.3)
    assert values_of("digits", "--epochs=9", first)["epochs"] == 3
    assert values_of("digits", "--epochs=9", "--epochs=8")["epochs"] == 8


def test_a_group_in_a_file_keeps_what_it_does_not_name(write_yaml):
    found = values_of("digits", write_yaml(optimizer={"momentum": 0.5}))
    assert found["optimizer.momentum"] == 0.5
    assert found["optimizer.weight_decay"] == TrainingConfig().optimizer.weight_decay
    assert found["schedule.warmup"] == recipe("digits")["schedule"]["warmup"]


def test_data_and_method_can_stand_in_a_file(write_yaml):
    config, _ = parse([write_yaml(data="digits", method="baseline", peers=1)])
    assert (config.data.data, config.method, config.cohort.peers) == ("digits", "baseline", 1)
    assert config.options == {}


def test_data_on_the_command_line_wins_over_a_file_s(write_yaml):
    config, _ = parse(["digits", write_yaml(data="cifar10")])
    assert config.data.data == "digits"
    assert config.training.epochs == recipe("digits")["epochs"]


def test_options_are_those_of_the_method_s_signature():
    own = {option.name for option in methods.options_of("mcl-okd")}
    assert own == {"temperature", "ensemble", "ramp", "beta", "contrast"}
    config, _ = parse(["digits", "--beta=0.5", "--temperature=2", "--contrast.views=core"])
    assert set(config.options) == own
    assert (config.options["beta"], config.options["temperature"]) == (0.5, 2.0)
    assert config.options["contrast"] == ContrastOptions(count=1024, views="core")


@pytest.mark.parametrize("option", ["beta", "temperature", "ensemble", "contrast.count"])
def test_a_method_refuses_another_s_options(write_yaml, option):
    with pytest.raises(UserError, match=f"unknown option of train with method baseline '--{option}'"):
        parse(["digits", "--method=baseline", f"--{option}=1"])
    group, _, name = option.rpartition(".")
    file = write_yaml(method="baseline", **({group: {name: 1}} if group else {name: 1}))
    with pytest.raises(UserError, match=rf"method baseline in .*config\.yaml '{group or name}'"):
        parse(["digits", file])


def test_help_tells_every_option_and_what_it_is_for():
    text = " ".join(train_parser("mcl-okd").format_help().split())
    for option in values_of("digits"):
        assert option in ("data", "kind") or f"--{option} " in text
    assert "Weight of the contrast." in text
    assert "Number of negatives (S) per anchor or per batch, or length of the queue. Not used with all." in text


def test_flags_are_no_part_of_the_configuration():
    config, flags = parse(["digits", "--download", "--json", "--run", "here"])
    assert (flags.download, flags.json, flags.resume, flags.skip_unreadable, flags.run) == (
        *(True, True, False, False),
        "here",
    )
    assert not {"download", "json", "resume", "skip_unreadable", "run", "config", "recipe"} & set(config.as_dict())


def test_options_can_not_be_abbreviated():
    """An option that is added later would give an abbreviation another meaning."""
    with pytest.raises(UserError, match="'--epoch': did you mean --epochs"):
        parse(["digits", "--epoch=3"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--no_flip", "--no_flip': write --flip false"),
        ("--no-pretrained", "--no-pretrained': write --pretrained false"),
        ("--no_resume", "--no_resume': did you mean --resume"),
        ("cifar10", "'cifar10' on the command line: DATA comes first, then options as --name value"),
        ("--optimizer adam", r"optimizer must hold .*, found adam \(choose one with --optimizer.name adam\)"),
        ("--mix 0.2", "mix must hold options as 'name: value', found 0.2$"),
        ("--loggers csv", "loggers must be a list in square brackets, found csv"),
        ("--device tpu", "device must be auto, cpu, cuda or mps, found tpu"),
        ("--config --json", "--config needs a value: the name of a YAML file"),
    ],
)
def test_a_common_slip_is_told_with_what_to_write(words, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(["digits", *words.split()])


def test_resuming_takes_the_run_s_configuration(tmp_path):
    config, _ = parse(["digits", "--epochs=3", "--beta=0.5", "--method=mcl-okd"])
    (tmp_path / "config.yaml").write_text(config.as_yaml())
    resumed, flags = parse(["--resume", "--run", str(tmp_path)])
    assert resumed == config
    assert flags.resume
    changed, _ = parse(["--resume", f"--run={tmp_path}", "--workers=1"])
    assert changed.data.workers == 1
    assert changed.training == config.training


def test_an_unknown_recipe_is_refused_for_a_resumed_run_too(tmp_path):
    (tmp_path / "config.yaml").write_text(parse(["digits"])[0].as_yaml())
    with pytest.raises(UserError, match="unknown recipe 'bogus'"):
        parse(["--resume", "--run", str(tmp_path), "--recipe", "bogus"])


def test_an_option_that_a_run_does_not_have_is_not_that_of_a_later_recipe(tmp_path):
    """The run was started by a version without ``ramp``, when the weight was constant."""
    values = parse(["./photos"])[0].as_dict()
    assert values.pop("ramp") == 27
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    for config in (read_config(tmp_path / "config.yaml"), parse(["--resume", "--run", str(tmp_path)])[0]):
        assert (config.options["ramp"], config.options["ensemble"]) == (0, 9)


def test_a_new_run_from_the_file_of_a_run_does_not_have_options_of_a_later_recipe(tmp_path):
    values = yaml.safe_load(parse(["./photos"])[0].as_yaml())
    assert (values.pop("ramp"), values.pop("ensemble")) == (27, 9)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    assert values_of("--config", str(file)).items() >= {"ramp": 0, "ensemble": 1}.items()
    assert values_of("--config", str(file), "--recipe=folder").items() >= {"ramp": 27, "ensemble": 9}.items()


def test_without_a_recipe_a_method_has_the_values_of_the_paper():
    values = values_of("./photos", "--recipe=none")
    assert values.items() >= {"ramp": 0, "ensemble": 1, "epochs": TrainingConfig().epochs}.items()


def test_resuming_by_another_method_is_refused(tmp_path):
    config, _ = parse(["digits", "--method=baseline"])
    (tmp_path / "config.yaml").write_text(config.as_yaml())
    with pytest.raises(UserError, match="was started with method baseline, found mcl-okd"):
        parse(["--resume", f"--run={tmp_path}", "--method=mcl-okd"])


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no run to resume in .*: config\.yaml is missing"):
        parse(["digits", "--resume", f"--run={tmp_path}"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epochs: 3\nlr: [1\nseed: 2\n", r"broken\.yaml, line 3 is not valid YAML"),
        ("epochs: 3\n  lr: 2\n", r"broken\.yaml, line 2 is not valid YAML"),
        ("- epochs\n", r"broken\.yaml must hold options as 'name: value', found a list"),
        ("", r"broken\.yaml must hold options as 'name: value', found nothing"),
        ("3: x\n", r"in .*broken\.yaml '3'"),
        ("epoch: 3\n", r"in .*broken\.yaml 'epoch': did you mean epochs"),
        ("optimizer: {moment: 3}\n", r"in .*broken\.yaml 'optimizer\.moment': did you mean optimizer\.momentum"),
        ("optimizer: adam\n", r"optimizer in .*broken\.yaml must hold options as 'name: value', found adam"),
        ("optimizer: {momentum: much}\n", r"optimizer\.momentum in .*broken\.yaml must be a number, found much"),
        ("method: [baseline]\n", r"method in .*broken\.yaml must be a string, found \['baseline'\]"),
        ("epochs: null\n", r"epochs in .*broken\.yaml must be an integer, found null"),
        (
            "sharing: [[1]]\n",
            r"sharing in .*broken\.yaml must be a string or a list in square brackets, found \[\[1\]\]",
        ),
        ("epochs: '3'\n", r"epochs in .*broken\.yaml must be an integer, found the string '3'"),
        ("epochs: many\n", r"epochs in .*broken\.yaml must be an integer, found many"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence) as caught:
        parse(["digits", f"--config={file}"])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"picture\.yaml is not a UTF-8 text file"):
        read_config(tmp_path / "picture.yaml")


def test_of_two_files_the_later_one_names_data_and_method(write_yaml):
    first = write_yaml("first.yaml", data="digits", method="baseline")
    second = write_yaml("second.yaml", data="cifar10", method="mcl-okd")
    config, _ = parse([first, second])
    assert (config.data.data, config.method, config.training.epochs) == (
        "cifar10",
        "mcl-okd",
        recipe("cifar")["epochs"],
    )
    assert config.options["beta"] == 0.025


def test_the_papers_recipe_trains_on_all_images():
    assert values_of("cifar100")["validation"] == 0
    arrays, cifar = recipe("arrays"), recipe("cifar")
    assert arrays.pop("validation") == 0.1
    assert cifar.pop("validation") == 0
    assert arrays.pop("methods") == {"mcl-okd": {"ensemble": 9, "ramp": 27}}
    assert arrays == cifar


@pytest.mark.parametrize(
    ("words", "weight", "ramp"),
    [
        ("cifar100", 1, 0),
        ("digits", 1, 0),
        ("npz:images.npz", 9, 27),
        ("./photos", 9, 27),
        ("./photos --pretrained", 1, 0),
    ],
)
def test_on_own_images_the_leader_learns_more_from_the_ensemble_than_in_the_paper(words, weight, ramp):
    values = values_of(*words.split())
    assert (values["ensemble"], values["ramp"]) == (weight, ramp)


def test_a_file_of_the_other_kind_is_refused(tmp_path):
    config, _ = parse(["omniglot"], EPISODES)
    file = tmp_path / "episodes.yaml"
    file.write_text(config.as_yaml())
    with pytest.raises(
        UserError, match=r"episodes\.yaml configures a run of kind episodes: use it with peerdistill fewshot"
    ):
        parse(["digits", f"--config={file}"])
    assert parse([f"--config={file}"], EPISODES)[0] == config
