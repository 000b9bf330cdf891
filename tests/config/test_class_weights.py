import pytest
import yaml

from peerdistill.config import Config, parse, read_config
from peerdistill.config.class_weights import read_class_weights
from peerdistill.config.kinds import EPISODES
from peerdistill.errors import UserError

WEIGHTS = {"cat": 2.0, "no": 0.5, "1": 1.0, "a, b": 3.0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.yaml", "cat: 2\nno: .5\n1: 1\n'a, b': 3e0\n"),
        ("w.json", '{"cat": 2, "no": 0.5, "1": 1.0, "a, b": 3}'),
        ("w.csv", 'class,weight\ncat,2\nno,.5\n1,1\n"a, b",3\n'),
        ("W.CSV", '\ufeffimages,weight,class\r\n7,2,cat\r\n,0.5,no\r\n,1,1\r\n,3, "a, b"\r\n'.replace(', "', ',"')),
    ],
)
def test_a_file_becomes_a_part_of_the_configuration(tmp_path, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    config, _ = parse(["digits", f"--class_weights={name}"])
    assert config.loss.class_weights == WEIGHTS
    assert Config.from_dict({"data": "digits", "class_weights": str(tmp_path / name)}) == config
    (tmp_path / name).unlink()
    (tmp_path / "config.yaml").write_text(config.as_yaml())
    assert read_config(tmp_path / "config.yaml") == config


def test_weights_may_be_given_without_a_file():
    for given in ("{cat: 2, 7: 0.5}", {"cat": 2.0, "7": 0.5}, {"cat": 2, 7: 0.5}):
        assert Config.from_dict({"data": "digits", "class_weights": yaml.safe_load(str(given))}).loss.class_weights == {
            "cat": 2.0,
            "7": 0.5,
        }
    assert parse(["digits", "--class_weights={cat: 2, 7: 0.5}"])[0].loss.class_weights == {"cat": 2.0, "7": 0.5}


@pytest.mark.parametrize("word", ["none", "balanced"])
def test_words_are_not_files(tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / word).write_text("cat: 1")
    assert parse(["digits", f"--class_weights={word}"])[0].loss.class_weights == word
    assert parse(["digits", f"--class_weights=./{word}"])[0].loss.class_weights == {"cat": 1.0}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("w.yaml", "- cat\n- dog\n", "w.yaml must hold class weights as 'class: weight', found a list"),
        ("w.yaml", "cat", "w.yaml must hold class weights as 'class: weight', found a text"),
        ("w.yaml", "", "w.yaml must hold class weights as 'class: weight', found nothing"),
        ("w.yaml", "cat: [1, 2]", r"w.yaml must hold .*, found \['1', '2'\] for 'cat'"),
        ("w.yaml", "cat: heavy", "the weight of class 'cat' in '.*w.yaml' must be a number, found heavy"),
        ("w.yaml", "cat:", "the weight of class 'cat' in '.*w.yaml' must be a number, found nothing"),
        ("w.yaml", "cat: 1\ncat: 2", "line 2 is not valid YAML: 'cat' is defined twice"),
        ("w.csv", "class|weight\ncat|1\n", "must have the columns class and weight, found 'class|weight'"),
        ("w.csv", "class,weight\ncat,1\ndog,\n", "line 3 of '.*w.csv' has no weight"),
        ("w.csv", "class,weight\ncat,x\n", "the weight of class 'cat' in '.*w.csv' must be a number, found x"),
        ("w.csv", "class,weight\ncat,1\ncat,1\n", "line 3 of '.*w.csv' has a second weight of class 'cat'"),
        ("w.csv", "class,weight\n" + "cat,1\n" * 20_000, "too large for class weights: more than 100 KiB"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence) as error:
        parse(["digits", f"--class_weights={tmp_path / name}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "none.csv", "balance"])
def test_what_is_no_file_is_refused(tmp_path, name):
    sentence = f"class_weights must be none, balanced or a YAML or CSV file, and '{tmp_path / name}' does not exist"
    with pytest.raises(UserError, match=sentence):
        read_class_weights(tmp_path / name)


@pytest.mark.parametrize("weight", ["0", "-1", ".nan", ".inf", "1e7"])
def test_weights_must_be_positive_and_finite(weight):
    config, _ = parse(["digits", f"--class_weights={{cat: 1, dog: {weight}}}"])
    with pytest.raises(UserError, match="the weight of class 'dog' in class_weights must be above 0 and at most"):
        config.check()


def test_the_largest_file_gives_a_configuration_that_can_be_read(tmp_path):
    """Weights take more room in the configuration than in a file."""
    lines = [f"{number},1" for number in range(0xE000 - 0x3000)]
    text = "class,weight\n" + "\n".join(lines)
    (tmp_path / "w.csv").write_text(text[: 100 * 1024].rpartition("\n")[0])
    config, _ = parse(["digits", f"--class_weights={tmp_path / 'w.csv'}"])
    assert len(config.loss.class_weights) > 10_000
    assert len(config.as_yaml()) < 256 * 1024  # the limit of tests/config/test_yaml_file.py


def test_episodes_have_neither_option():
    for option in ("label_smoothing", "class_weights"):
        with pytest.raises(UserError, match=f"unknown option .*{option}"):
            parse(["omniglot", f"--{option}=0"], EPISODES)
    assert parse(["omniglot"], EPISODES)[0].loss is None


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_range_of_label_smoothing(value):
    with pytest.raises(UserError, match="label_smoothing must be at least 0 and below 1"):
        parse(["digits", f"--label_smoothing={value}"])
