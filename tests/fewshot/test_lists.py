from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.errors import UserError
from peerdistill.fewshot.lists import read_list

GOOD = "filename,label\na.png,ant\nb.png,b\u00e9e\n"


def written(folder: Path, content: str | bytes) -> Path:
    (folder / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "train.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_and_labels(tmp_path, encoding, end):
    found = read_list(written(tmp_path, GOOD.replace("\n", end).encode(encoding)))
    assert [(line.filename, line.label) for line in found] == [("a.png", "ant"), ("b.png", "b\u00e9e")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (GOOD.encode("cp1252"), "line 3 of '{}' is not UTF-8 text (byte 0xe9): save the file as UTF-8"),
        (GOOD.encode("utf-16"), "line 1 of '{}' is not UTF-8 text (byte 0xff): save the file as UTF-8"),
        (GOOD + "c.png", "line 4 of '{}' has no label"),
        (GOOD + "c.png,", "line 4 of '{}' has no label"),
        (GOOD + "c.png, \n", "line 4 of '{}' has no label"),
        (GOOD + ",cat", "line 4 of '{}' has no filename"),
        (
            GOOD + "c.png,cat,3",
            "line 4 of '{}' has more columns than the first line: put values with a separator in double quotes",
        ),
        (GOOD + "c\0.png,cat", "line 4 of '{}' has a NUL character: save the file as UTF-8 text"),
        (GOOD + '"c.png,cat', "cannot read line 4 of '{}': unexpected end of data"),
        (GOOD + "c" * 200_000 + ",cat", "cannot read line 4 of '{}': field larger than field limit (131072)"),
        (GOOD + "../c.png,cat", "line 4 of '{}' names '../c.png': pictures must be below the folder of the list"),
        (GOOD + "/etc/passwd,cat", "line 4 of '{}' names '/etc/passwd': pictures must be below the folder of the list"),
        (GOOD.replace("label", "class"), "'{}' must have the columns filename and label, found 'filename' and 'class'"),
        ("", "'{}' must have the columns filename and label, found an empty file"),
        ("filename,label\n", "'{}' lists no pictures"),
    ],
)
def test_file_and_line_are_named(tmp_path, content, sentence):
    file = written(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_list(file)
    assert str(error.value) == sentence.format(file)


@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_any_content_is_read_or_refused(tmp_path_factory, noise, at):
    file = written(tmp_path_factory.getbasetemp(), GOOD.encode()[:at] + noise + GOOD.encode()[at:])
    found, message = [], ""
    try:
        found = read_list(file)
    except UserError as error:
        message = str(error)
    assert all(line.filename and line.label for line in found)
    assert "\n" not in message
