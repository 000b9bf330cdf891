"""What a word means does not depend on the folder where it is said."""

import warnings
from pathlib import Path

import pytest

from peerdistill.data.data_spec import absolute_word, note_shadowed_folder
from peerdistill.errors import PeerdistillWarning

NAMES = ("digits", "cifar10")


@pytest.fixture(autouse=True)
def folder_of_a_built_in_name(tmp_path, monkeypatch) -> Path:
    (tmp_path / "digits").mkdir()
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_built_in_name_wins():
    assert absolute_word("digits", NAMES) == "digits"


@pytest.mark.parametrize("word", ["./digits", "digits/", "../{here}/digits"])
def test_a_word_with_a_separator_is_a_path(tmp_path, word):
    found = Path(absolute_word(word.format(here=tmp_path.name), NAMES))
    assert found.is_absolute()
    assert found.resolve() == (tmp_path / "digits").resolve()


def test_any_other_word_is_a_path_where_there_is_one(tmp_path):
    assert absolute_word("photos", NAMES) == str(tmp_path / "photos")
    assert absolute_word("digits", ()) == str(tmp_path / "digits")
    assert absolute_word("none", NAMES) == "none"


def test_npz_files_become_absolute(tmp_path):
    assert absolute_word("npz:a.npz, b.npz", NAMES) == f"npz:{tmp_path / 'a.npz'},{tmp_path / 'b.npz'}"


def test_one_note_says_which_was_taken():
    with pytest.warns(
        PeerdistillWarning, match="'digits' is the built-in data of that name: write ./digits for the folder"
    ):
        note_shadowed_folder("digits", NAMES)


@pytest.mark.parametrize("word", ["./digits", "photos", "cifar10", "npz:digits"])
def test_no_note_where_nothing_is_shadowed(word):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_shadowed_folder(word, NAMES)
