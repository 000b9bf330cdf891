from pathlib import Path

import pytest

from peerdistill.errors import UserError
from peerdistill.paths import absolute_path, user_path


def test_the_home_folder_is_replaced(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert user_path("~/x") == Path("/somewhere/x")


def test_a_path_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_path("x") == tmp_path / "x"


@pytest.mark.parametrize(("name", "found"), [("", "nothing"), ("a\0b", "NUL"), ("~nobody-here/x", "~nobody-here")])
def test_an_invalid_path_is_refused(name, found):
    with pytest.raises(UserError, match=f"--run.*{found}"):
        user_path(name, "--run")


def test_a_file_whose_name_only_looks_like_a_home_is_a_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~draft.png").touch()
    assert user_path("~draft.png") == Path("~draft.png")
