import os
from pathlib import Path

import pytest

from peerdistill.deploy.pictures import find_pictures
from peerdistill.errors import UserError
from support.photos import write_noise


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A working directory with pictures in nested folders and other files."""
    for name in ("b.jpg", "sub/deep/c.PNG", "sub/a.png", ".hidden/d.png", "sub/[1].png"):
        write_noise(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / "sub" / "up").symlink_to(tmp_path / "photos")  # a circle
    monkeypatch.chdir(tmp_path)
    return tmp_path


EVERY = ["photos/b.jpg", "photos/sub/[1].png", "photos/sub/a.png", "photos/sub/deep/c.PNG"]


def found(*names) -> list[str]:
    return [path.as_posix() for path in find_pictures(names)]


def test_a_folder_holds_the_pictures_of_all_folders_below(photos):
    assert found("photos") == EVERY
    assert found(Path("photos/sub")) == EVERY[1:]
    assert found(photos / "photos" / "sub" / "deep") == [str(photos / "photos/sub/deep/c.PNG")]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", EVERY[:1]),
        ("photos/*", EVERY[:1]),
        ("photos/sub/?.png", EVERY[2:3]),
        ("photos/*/*.[pP][nN][gG]", EVERY[1:3]),
        ("photos/sub/deep/**", EVERY[3:]),
    ],
)
def test_a_pattern_stands_for_the_pictures_that_match(photos, pattern, expected):
    assert found(pattern) == expected
    assert found(photos / pattern) == [str(photos / name) for name in expected]


def test_a_file_whose_name_looks_like_a_pattern_or_a_list_is_that_file(photos):
    (photos / "@list").write_text("photos")
    assert found("photos/sub/[1].png", "@list") == ["photos/sub/[1].png", "@list"]


def test_a_list_names_files_folders_and_patterns(photos):
    Path("list.txt").write_bytes(
        "\ufeffphotos/b.jpg\r\n\nphotos/sub/deep\nphotos/sub/a*\n@none.txt\nmissing.png".encode()
    )
    assert found("photos/b.jpg", "@list.txt") == [EVERY[0], EVERY[0], EVERY[3], EVERY[2], "@none.txt", "missing.png"]


def test_a_list_may_hold_any_bytes_of_a_file_name(photos):
    Path("list.txt").write_bytes(b"photos/\xff.png\n")
    assert [os.fsencode(path) for path in find_pictures(["@list.txt"])] == [b"photos/\xff.png"]


def test_order_is_that_of_the_names(photos):
    assert found("photos/sub/deep", "photos/b.jpg", "photos/sub/a.png") == [EVERY[3], EVERY[0], EVERY[2]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bare", "the folder bare and the folders below it contain no pictures"),
        ("photos/*.tif", r"no picture matches the pattern photos/\*\.tif"),
        ("@none.txt", "the list of pictures none.txt cannot be read: no such file"),
        ("@photos", "the list of pictures photos cannot be read: is a directory"),
        ("@blank.txt", "the list of pictures blank.txt is empty"),
        ("@", "a list of pictures needs a path"),
        ("", "a picture needs a path"),
        ("a\0b", "NUL"),
    ],
)
def test_a_name_that_stands_for_no_picture_is_one_sentence(photos, name, message):
    Path("bare/inside").mkdir(parents=True)
    Path("blank.txt").write_text("\n  \n")
    with pytest.raises(UserError, match=message):
        find_pictures(["photos", name])


def test_a_missing_or_impossible_file_is_left_to_whoever_reads_it(photos):
    names = ["none.png", "photos/b.jpg/none.png", "x" * 5000 + ".png"]
    assert found(*names) == names
