"""The errors for each kind of broken file are tested in tests/fewshot/test_lists.py."""

import pytest

from peerdistill.csv_files import read_rows
from peerdistill.errors import UserError


def test_the_columns_that_are_asked_for(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('width, height,name\n1,2," a, b "\n')
    with pytest.raises(
        UserError, match=r"must have the columns width and height, found \['width', ' height', 'name'\]"
    ):
        read_rows(file, ["width", "height"])
    (row,) = read_rows(file, ["name", "width"])
    assert row == (f"line 2 of '{file}'", {"name": "a, b", "width": "1"})


def test_a_folder_and_a_missing_file(tmp_path):
    for path, cause in ((tmp_path, "is a directory"), (tmp_path / "none.csv", "no such file or directory")):
        with pytest.raises(UserError, match=f"cannot read '{path}': {cause}"):
            read_rows(path, ["n"])
