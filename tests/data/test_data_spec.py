"""What DATA means does not depend on what lies in the working directory."""

import warnings
from pathlib import Path

import pytest

from peerdistill.data.sources import SOURCES
from peerdistill.errors import PeerdistillWarning, UserError


@pytest.fixture(autouse=True)
def folder_with_the_name_of_a_source(tmp_path, monkeypatch) -> Path:
    (tmp_path / "digits").mkdir()
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ("digits", "digits"),
        ("./digits", "folder"),
        ("digits/", "folder"),
        ("photos", "folder"),
        ("absent/photos", "folder"),
        ("npz:digits", "npz"),
        ("npz:absent/a.npz,b.npz", "npz"),
        ("mine.data:images", "function"),
        ("./mine.data:images", "folder"),
    ],
)
def test_source_of_data(data, source):
    assert SOURCES.find(data).name == source


def test_a_name_stays_a_name():
    assert SOURCES.absolute("digits") == "digits"
    assert SOURCES.absolute("mine.data:images") == "mine.data:images"


@pytest.mark.parametrize("data", ["./digits", "digits/", "../{here}/digits"])
def test_data_with_a_separator_is_a_path(tmp_path, data):
    found = Path(SOURCES.absolute(data.format(here=tmp_path.name)))
    assert found.is_absolute()
    assert found.resolve() == (tmp_path / "digits").resolve()


def test_other_data_is_a_path_if_it_exists(tmp_path):
    assert SOURCES.absolute("photos") == str(tmp_path / "photos")
    assert SOURCES.absolute("none") == "none"


def test_npz_files_become_absolute(tmp_path):
    assert SOURCES.absolute("npz:a.npz, b.npz") == f"npz:{tmp_path / 'a.npz'},{tmp_path / 'b.npz'}"


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        (None, "folder"),
        ("digits", "digits"),
        ("cifar10", "cifar"),
        ("npz:a.npz", "arrays"),
        ("mine:images", "arrays"),
        ("absent/photos", "folder"),
    ],
)
def test_default_recipe(data, recipe):
    assert SOURCES.recipe_for(data) == recipe


@pytest.mark.parametrize("data", ["digitz", "none", "", "nzp:a.npz"])
def test_unknown_data_never_gets_a_recipe(data):
    with pytest.raises(UserError, match=r"choose cifar10, cifar100, digits, npz:FILE,FILE,\.\.\.,"):
        SOURCES.recipe_for(data)


@pytest.mark.parametrize(
    ("data", "missing"),
    [("digits", None), ("mine:images", None), ("photos", None), ("gone", "gone"), ("npz:photos,b.npz", "b.npz")],
)
def test_missing_path(data, missing):
    found = SOURCES.missing_path(data)
    assert found == (None if missing is None else Path(missing))


@pytest.mark.parametrize(
    ("data", "title"),
    [("digits", "digits"), ("npz:data/a.npz,b.npz", "a"), ("mine.data:images", "images"), ("some/photos", "photos")],
)
def test_title(data, title):
    assert SOURCES.title(data) == title


def test_a_warning_about_a_folder_that_is_not_used():
    with pytest.warns(PeerdistillWarning, match="to use the folder of that name, write ./digits"):
        SOURCES.warn_if_shadowed("digits")


@pytest.mark.parametrize("data", ["./digits", "photos", "cifar10", "npz:digits", "mine:images"])
def test_no_warning_without_such_a_folder(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SOURCES.warn_if_shadowed(data)
