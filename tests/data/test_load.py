import pytest

from peerdistill.data import DataConfig, load_dataset
from peerdistill.errors import UserError


def sentence(config: DataConfig) -> str:
    with pytest.raises(UserError) as error:
        load_dataset(config)
    return str(error.value)


ALLOWED = (
    "choose cifar10, cifar100, digits, npz:FILE,FILE,..., wds:FILE,FILE,..., hf:NAME, package.module:function or a "
    "folder of class folders"
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digitz", f"unknown data 'digitz' (did you mean digits?): {ALLOWED} (there is no folder 'digitz' here)"),
        (
            "cifar",
            f"unknown data 'cifar' (did you mean cifar10 or cifar100?): {ALLOWED} (there is no folder 'cifar' here)",
        ),
        ("photos", f"unknown data 'photos': {ALLOWED} (there is no folder 'photos' here)"),
        ("my/photos", "folder 'my/photos' does not exist"),
        ("", f"the name of the data is empty: {ALLOWED}"),
        (" ", f"the name of the data is empty: {ALLOWED}"),
    ],
)
def test_unknown_name(monkeypatch, tmp_path, name, expected):
    monkeypatch.chdir(tmp_path)
    assert sentence(DataConfig(name)) == expected


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("images.npz", "write npz:FOLDER/images.npz"),
        ("shard.TAR", "write wds:FOLDER/shard.TAR"),
        ("train.parquet", "write hf:FOLDER, the folder of the file"),
        ("labels.csv", "write FOLDER --labels FOLDER/labels.csv for a table of labels"),
        ("images.txt", ALLOWED),
    ],
)
def test_file_in_place_of_a_folder(tmp_path, name, instead):
    file = tmp_path / name
    file.touch()
    expected = instead.replace("FOLDER/", f"{tmp_path}/").replace("hf:FOLDER", f"hf:{tmp_path}")
    assert sentence(DataConfig(str(file))) == f"'{file}' is a file: {expected}"


def test_an_unknown_prefix_is_no_path():
    assert sentence(DataConfig("hub:user/name")) == f"unknown data 'hub:user/name': {ALLOWED}"
    assert sentence(DataConfig("hf:")) == "data must be hf:NAME, found 'hf:'"


def test_values_are_checked_first():
    assert sentence(DataConfig("digits", validation=2.0)) == "validation must be at least 0 and below 1, found 2.0"


@pytest.mark.parametrize("data", ["npz:", "npz:a.npz,,b.npz", "npz:,"])
def test_npz_without_a_file(data):
    assert sentence(DataConfig(data)) == f"data must be npz:FILE or npz:FILE,FILE,..., found '{data}'"


def test_test_that_is_not_npz(make_npz):
    file = make_npz()
    expected = f"test must be npz:FILE or npz:FILE,FILE,..., found '{file}'"
    assert sentence(DataConfig(f"npz:{file}", test=str(file))) == expected


def test_test_beside_another_source():
    expected = "test applies only to npz:FILE,FILE,... and package.module:function, found data 'digits'"
    assert sentence(DataConfig("digits", test="npz:test.npz")) == expected


def test_home_folder_is_expanded(monkeypatch, make_npz):
    file = make_npz()
    monkeypatch.setenv("HOME", str(file.parent))
    assert len(load_dataset(DataConfig("npz:~/train.npz", test="npz:~/train.npz")).test) == 40
