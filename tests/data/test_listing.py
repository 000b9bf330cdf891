import os
from pathlib import Path

import pytest

from peerdistill.data.class_folders import find_splits, list_pictures
from peerdistill.data.listing import list_folder
from peerdistill.errors import PeerdistillWarning, UserError


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("ant", "bee"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "photos" / name / f"{number}.png").touch()
    return tmp_path / "photos"


ALL = tuple(f"{name}/{number}.png" for name in ("ant", "bee") for number in range(3))


@pytest.mark.parametrize(
    "links",
    [
        {"ant/self": "."},
        {"ant/one": ".", "ant/two": ".", "bee/one": "."},
        {"ant/up": ".."},
        {"ant/up": "../..", "bee/root": "/"},
        {"ant/twice.png": "0.png", "ant/again.png": "twice.png"},
        {"ant/circle": "circle", "ant/gone": "nowhere"},
    ],
)
@pytest.mark.filterwarnings("ignore:.*nowhere")
def test_links_that_lead_to_what_is_there_add_nothing(photos, links):
    for name, target in links.items():
        (photos / name).symlink_to(target)
    assert list_pictures(photos).files == ALL


def test_a_folder_that_is_linked_a_million_times_is_listed_once(photos):
    for depth in range(20):
        (photos.parent / f"d{depth}").mkdir()
        for name in ("a", "b"):
            (photos.parent / f"d{depth}" / name).symlink_to(photos.parent / f"d{depth + 1}")
    (photos.parent / "d20").mkdir()
    (photos.parent / "d20" / "9.png").touch()
    (photos / "ant" / "deep").symlink_to(photos.parent / "d0")
    assert len(list_folder(photos).paths) < 1000
    assert len(list_pictures(photos).files) == 7


def test_links_out_of_the_folder_are_followed(photos, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("ant", "bee"):
        (tmp_path / "links" / name).symlink_to(photos / name)
    assert list_pictures(tmp_path / "links").files == ALL


@pytest.mark.parametrize("link", [("bee/9.png", "../ant/0.png"), ("bee/more", "../ant"), ("cow", "ant")])
def test_a_picture_in_two_classes_is_refused(photos, link):
    (photos / link[0]).symlink_to(link[1])
    with pytest.raises(UserError, match=rf"'{photos}/ant/0\.png' and '{photos}/.*\.png' are links to the same file"):
        find_splits(photos)


def test_a_picture_in_two_splits_is_refused(photos, tmp_path):
    (tmp_path / "data").mkdir()
    photos.rename(tmp_path / "data" / "train")
    (tmp_path / "data" / "test").mkdir()
    for name in ("ant", "bee"):
        (tmp_path / "data" / "test" / name).symlink_to(tmp_path / "data" / "train" / name)
    with pytest.raises(UserError, match=r"train/ant/0\.png' and '.*test/ant/0\.png' are links to the same file"):
        find_splits(tmp_path / "data")


def test_hard_links_are_copies(photos):
    os.link(photos / "ant" / "0.png", photos / "bee" / "9.png")
    assert len(list_pictures(photos).files) == 7


def test_broken_links_are_reported(photos):
    (photos / "cow").symlink_to("gone")
    with pytest.warns(PeerdistillWarning, match=f"1 broken link in '{photos}': 'cow'"):
        assert list_pictures(photos).files == ALL


def test_a_folder_that_cannot_be_read_is_named(photos, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"cannot read folder '{photos}': permission denied"):
        list_pictures(photos)


def test_a_folder_of_splits_is_refused_where_class_folders_are_expected(photos, tmp_path):
    (tmp_path / "data").mkdir()
    photos.rename(tmp_path / "data" / "train")
    for name in ("ant", "bee"):
        (tmp_path / "data" / "test" / name).mkdir(parents=True)
        (tmp_path / "data" / "test" / name / "7.png").touch()
    with pytest.raises(UserError, match=r"data' has splits: choose one of '.*train', '.*test'"):
        list_pictures(tmp_path / "data")
