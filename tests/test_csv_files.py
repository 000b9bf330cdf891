"""The errors for each kind of broken file are tested in tests/fewshot/test_lists.py."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.csv_files import read_rows
from peerdistill.errors import UserError

VALUES = st.text(min_size=1, max_size=12).map(str.strip).filter(lambda text: text and "\0" not in text)


@given(
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=5),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.sampled_from(["", "\ufeff"]),
    has_split=st.booleans(),
)
def test_what_a_library_writes_is_read(tmp_path_factory, rows, delimiter, end, quoting, mark, has_split):
    if any("\r" in text for row in rows for text in row):
        quoting = csv.QUOTE_ALL  # before Python 3.13, csv leaves "\r" without quotes, where it ends the row
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    names = [" Path", "LABEL", "split"][: 2 + has_split]
    writer.writerow(names)
    writer.writerows([path, label, "train"][: 2 + has_split] for path, label in rows)
    file = tmp_path_factory.getbasetemp() / "written.csv"
    file.write_bytes((mark + text.getvalue()).encode("utf-8"))
    found = read_rows(file, ["path", "label"], optional=["split"])
    extra = {"split": "train"} if has_split else {}
    assert [row.values for row in found] == [{"path": path, "label": label} | extra for path, label in rows]


def test_the_columns_that_are_asked_for(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('width, Height,name\n\n1,2," a, b "\n,,\n3,4, "c, d"\n')
    with pytest.raises(UserError, match=r"must have the columns depth and width, found 'width', 'Height' and 'name'$"):
        read_rows(file, ["depth", "width"])
    first, second = read_rows(file, ["name", "height"], optional=["depth", "width"])
    assert first == (f"line 3 of '{file}'", {"name": "a, b", "height": "2", "width": "1"})
    assert second == (f"line 5 of '{file}'", {"name": "c, d", "height": "4", "width": "3"})


def test_a_row_is_in_the_line_where_it_starts(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('n,m\n"1\n1",2\n3,4\n5,\n')
    with pytest.raises(UserError, match=f"^line 5 of '{file}' has no m$"):
        read_rows(file, ["n"], optional=["m"])
    assert [row.where for row in read_rows(file, ["n"])] == [f"line {line} of '{file}'" for line in (2, 4, 5)]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("n,m,N\n1,2,3\n")
    with pytest.raises(UserError, match=f"^'{file}' has the column 'n' more than once$"):
        read_rows(file, ["n", "m"])
    assert len(read_rows(file, ["m"])) == 1


def test_a_folder_and_a_missing_file(tmp_path):
    for path, cause in ((tmp_path, "is a directory"), (tmp_path / "none.csv", "no such file or directory")):
        with pytest.raises(UserError, match=f"cannot read '{path}': {cause}"):
            read_rows(path, ["n"])
