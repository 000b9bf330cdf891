"""What help says of recipes is what a run gets."""

import pytest

from peerdistill import Cohort, methods
from peerdistill.config import Config, parse
from peerdistill.config.kinds import CLASSES, EPISODES, KINDS
from peerdistill.config.recipes import in_words, recipe, set_by_recipes
from peerdistill.config.typed import dotted

DATA = {"classes": "digits", "episodes": "omniglot"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_value_named_is_what_the_recipe_gives(kind):
    found = {
        recipe: dotted(parse([DATA[kind.name], "--recipe", recipe], kind)[0].as_dict())
        for recipe in kind.recipe_files()
    }
    for option, values in set_by_recipes("mcl-okd", kind).items():
        assert values == {recipe: found[recipe][option] for recipe in values}


def test_options_of_a_method_stand_under_their_names():
    assert set_by_recipes("mcl-okd", CLASSES)["contrast.temperature"] == {"folder": 0.07, "imagenet": 0.07}
    assert "contrast.temperature" not in set_by_recipes("dml", CLASSES)


@pytest.mark.parametrize("sharing", ["branch", "network"])
def test_the_recipe_for_imagenet_is_that_of_the_paper(sharing):
    """Section 4.1 and the supplement; the shared stages of branches are the stem and the first two of four."""
    config = parse(["digits", "--recipe=imagenet", f"--sharing={sharing}", "--method=mcl-okd"])[0]
    training, data, method = config.training, config.data, config.as_dict()
    assert (training.epochs, training.batch_size, training.lr) == (100, 128, 0.05)
    optimizer, schedule = training.optimizer, training.schedule
    assert (optimizer.name, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.9, True)
    assert (optimizer.weight_decay, schedule.name, schedule.warmup) == (1e-4, "cosine", 0)
    assert (data.min_scale, data.flip, data.validation, data.preprocessing.crop) == (0.08, True, 0, 224 / 256)
    contrast = method["contrast"]
    assert (contrast["temperature"], contrast["count"], method["peers"]) == (0.07, 16384, 4)
    assert (method["temperature"], method["beta"]) == (3, 0.025)
    cohort = Cohort(method["backbone"], 10, 4, sharing)
    stages = zip(cohort.backbone.stages, cohort.copies, strict=True)
    shared = [stage.name for stage, copies in stages if copies == 1]
    assert shared == (["stem", "layer1", "layer2"] if sharing == "branch" else [])


def test_words_name_each_value_and_its_recipes():
    said = in_words({"folder": 0.07}, 0.1, CLASSES)
    assert said == "recipes of train: 0.1 in arrays, cifar, digits, imagenet; 0.07 in folder"


def test_words_where_all_recipes_agree():
    assert in_words(dict.fromkeys(EPISODES.recipe_files(), 0.25), 0.025, EPISODES) == (
        "0.25 in every recipe of fewshot"
    )
    assert in_words({}, 0.1, CLASSES) == ""
    assert in_words({"folder": True}, True, CLASSES) == ""


@pytest.mark.parametrize("words", ["train -h", "train digits --help", "methods mcl-okd"])
def test_help_and_the_method_page_say_the_same(capsys, monkeypatch, words):
    from peerdistill.cli import main

    monkeypatch.setenv("COLUMNS", "300")
    assert main(words.split()) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "recipes of train: 0.1 in arrays, cifar, digits; 0.07 in folder, imagenet" in shown


def test_every_method_can_be_shown():
    for name in methods.names():
        assert set_by_recipes(name, CLASSES).keys() >= {"epochs", "lr"}


@pytest.mark.parametrize(
    "given",
    [
        {"backbone": "timm:resnet18", "pretrained": True},
        {"weights": "runs/other"},
        {"recipe": "finetune"},
        {"recipe": "finetune", "pretrained": False},
    ],
)
def test_pretrained_weights_choose_the_recipe_for_fine_tuning(given):
    """It lies on top of the recipe of the data, from Python as well as from the command line."""
    words = [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()]
    config = parse(["digits", *words])[0]
    assert config == Config.from_dict({"data": "digits", **given})
    finetune, digits = recipe("finetune", "mcl-okd", CLASSES), recipe("digits", "mcl-okd", CLASSES)
    found = dotted(config.as_dict())
    assert all(found[name] == value for name, value in finetune.items())
    of_digits = {name: value for name, value in digits.items() if name not in finetune.keys() | given.keys()}
    assert all(found[name] == value for name, value in of_digits.items())
    assert "crop_padding" in of_digits


@pytest.mark.parametrize("words", [["--pretrained", "--backbone=timm:resnet18"], ["--pretrained", "true", "--peers=2"]])
def test_the_flag_alone_chooses_the_recipe_for_fine_tuning(words):
    assert parse(["digits", *words])[0].training.optimizer.name == "adamw"


@pytest.mark.parametrize("words", [[], ["--pretrained=false"], ["--pretrained=true", "--recipe=digits"]])
def test_without_weights_or_with_another_recipe_the_recipe_of_the_data_is_kept(words):
    assert parse(["digits", *words])[0].training.optimizer.name == "sgd"


def test_a_file_can_give_the_weights(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("weights: runs/other\n")
    assert parse(["digits", f"--config={file}"])[0].training.optimizer.name == "adamw"
    file.write_text("pretrained: true\n")
    assert parse(["digits", f"--config={file}", "--pretrained=false"])[0].training.optimizer.name == "sgd"
