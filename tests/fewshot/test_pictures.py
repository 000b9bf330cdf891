import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from peerdistill.data.images.decode import open_picture
from peerdistill.data.images.preprocess import fit
from peerdistill.errors import UserError
from peerdistill.fewshot import FewShotData, load_few_shot
from peerdistill.fewshot.dataset import divide_classes
from support.photos import write_class_folders

NAMES = ("ant", "bee", "cat", "dog", "emu", "fox", "gnu", "hen")


def write_classes(folder: Path, names=NAMES, pictures: int = 3) -> None:
    write_class_folders(folder, dict.fromkeys(names, pictures))


def write_splits(folder: Path) -> None:
    for split, names in (("train", NAMES[:4]), ("val", NAMES[4:6]), ("test", NAMES[6:])):
        write_classes(folder / split, names)


def write_lists(folder: Path) -> None:
    """Ravi and Larochelle's layout: pictures in one folder, and a list for each split."""
    write_classes(folder / "classes")
    (folder / "images").mkdir()
    for split, names in (("train", NAMES[:4]), ("val", NAMES[4:6]), ("test", NAMES[6:])):
        rows = [(f"{name}{picture}.png", name) for name in names for picture in range(3)]
        for (file, name), picture in zip(rows, [0, 1, 2] * len(names), strict=True):
            (folder / "classes" / name / f"{picture}.png").rename(folder / "images" / file)
        with (folder / f"{split}.csv").open("w", newline="") as lines:
            csv.writer(lines).writerows([("filename", "label"), *rows])


def zipped(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
        archive.writestr("about.json", "{}")
    return file


def load(source: Path, **options):
    skip = options.pop("skip_unreadable", False)
    return load_few_shot(FewShotData(str(source), image_size=16, **options), skip_unreadable=skip)


def names_of(data) -> tuple:
    return tuple(getattr(data, split) and getattr(data, split).class_names for split in ("train", "val", "test"))


def test_class_folders_are_divided_by_classes(tmp_path):
    write_classes(tmp_path)
    data = load(tmp_path)
    splits = divide_classes(NAMES)
    expected = (
        tuple(n for n, s in zip(NAMES, splits, strict=True) if s == split) or None for split in ("train", "val", "test")
    )
    assert names_of(data) == tuple(expected)
    assert (data.name, data.channels, data.image_size, data.crop) == (tmp_path.name, 3, 16, 1.0)


@pytest.mark.parametrize("write", [write_splits, write_lists])
def test_given_splits_are_kept(tmp_path, write):
    write(tmp_path)
    assert names_of(load(tmp_path)) == (NAMES[:4], NAMES[4:6], NAMES[6:])


@pytest.mark.parametrize("write", [write_splits, write_lists])
def test_pictures_are_cut_to_squares_in_the_order_of_their_names(tmp_path, write):
    write(tmp_path / "written")
    write_classes(tmp_path / "plain", NAMES[:4])
    files = sorted((tmp_path / "plain").rglob("*.png"))
    expected = np.stack([fit(open_picture(file), 16, 3, crop=1.0) for file in files])
    data = load(tmp_path / "written")
    # The random pixels of a class begin with its place among the classes that are written together: here the same.
    assert np.array_equal(data.train.images.permute(0, 2, 3, 1).numpy(), expected)
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


@pytest.mark.parametrize("write", [write_classes, write_splits])
def test_an_archive_is_read_as_its_folder(tmp_path, write):
    write(tmp_path / "mine")
    from_folder, from_file = load(tmp_path / "mine"), load(zipped(tmp_path / "mine", tmp_path / "mine.zip"))
    assert names_of(from_file) == names_of(from_folder)
    assert np.array_equal(from_file.train.images, from_folder.train.images)
    assert from_file.fingerprint == from_folder.fingerprint


def test_unreadable_pictures_are_named_or_left_out(tmp_path):
    write_splits(tmp_path)
    (tmp_path / "train" / "ant" / "1.png").write_text("no picture")
    with pytest.raises(UserError, match=r"cannot read picture '.*ant/1\.png': it is not a picture \(--skip_unreadable"):
        load(tmp_path)
    data = load(tmp_path, skip_unreadable=True)
    assert (data.skipped, len(data.train)) == (1, 11)


def test_a_picture_of_an_archive_is_named(tmp_path):
    write_classes(tmp_path / "mine")
    (tmp_path / "mine" / "cat" / "0.png").write_text("no picture")
    with pytest.raises(UserError, match=r"cannot read picture '.*mine\.zip/cat/0\.png'"):
        load(zipped(tmp_path / "mine", tmp_path / "mine.zip"))


def test_a_class_of_which_no_picture_can_be_read_is_named(tmp_path):
    write_splits(tmp_path)
    for picture in (tmp_path / "test" / "hen").iterdir():
        picture.write_text("no picture")
    with pytest.raises(UserError, match=r"has no image of class 'hen'"):
        load(tmp_path, skip_unreadable=True)


def test_a_class_in_two_splits_is_refused(tmp_path):
    write_splits(tmp_path)
    write_classes(tmp_path / "test", ("ant",))
    with pytest.raises(
        UserError, match=r"class 'ant' of '.*' is in train and in test: the splits of few-shot data must not"
    ):
        load(tmp_path)


def test_lists_must_be_complete(tmp_path):
    write_lists(tmp_path)
    (tmp_path / "val.csv").write_text("name,kind\n")
    with pytest.raises(UserError, match=r"val\.csv' must have the columns filename and label, found 'name' and 'kind'"):
        load(tmp_path)
    (tmp_path / "val.csv").unlink()
    with pytest.raises(UserError, match=r"has train\.csv but no val\.csv"):
        load(tmp_path)


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    write_lists(tmp_path)
    (tmp_path / "images" / "ant0.png").unlink()
    with pytest.raises(UserError, match=r"cannot read picture '.*images/ant0\.png': no such file"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"nothing", "is not a zip archive of class folders"), (None, "has no class folders")],
)
def test_archives_of_nothing_are_refused(tmp_path, content, sentence):
    file = tmp_path / "mine.zip"
    if content is None:
        zipfile.ZipFile(file, "w").close()
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load(file)


class TestMiniImageNet:
    @pytest.mark.parametrize("place", [".", "miniimagenet", "mini-imagenet"])
    def test_folders_are_found_in_the_root(self, tmp_path, place):
        write_splits(tmp_path / place)
        data = load_few_shot(FewShotData("miniimagenet", root=str(tmp_path), image_size=16))
        assert names_of(data) == (NAMES[:4], NAMES[4:6], NAMES[6:])
        assert data.name == "miniimagenet"

    def test_absent(self, tmp_path):
        with pytest.raises(
            UserError, match=r"has no miniimagenet \(no folder train, no train\.csv, no archive mini\*\.zip"
        ):
            load_few_shot(FewShotData("miniimagenet", root=str(tmp_path)))

    def test_real_pictures(self, shared_data):
        data = load_few_shot(FewShotData("miniimagenet", root=str(shared_data)))
        assert [len(split.class_names) for split in (data.train, data.val, data.test)] == [64, 16, 20]
        assert [len(split) for split in (data.train, data.val, data.test)] == [5760, 1440, 1800]
        assert (data.channels, data.image_size, data.skipped) == (3, 84, 0)
        # Of natural pictures in 0..1, near the statistics of ImageNet.
        assert data.mean == pytest.approx((0.47, 0.45, 0.40), abs=0.03)
        assert data.std == pytest.approx((0.28, 0.27, 0.28), abs=0.03)


def test_a_folder_that_is_missing_is_named():
    with pytest.raises(UserError, match="unknown data 'omniglott'"):
        load_few_shot(FewShotData("omniglott"))
