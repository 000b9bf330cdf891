"""Tables of labels: the pictures of a folder with their classes and splits."""

import csv
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.label_table import find_labelled
from peerdistill.data.load import load_images
from peerdistill.errors import PeerdistillWarning, UserError
from support.photos import write_noise


def load(folder: Path, table: Path | None, *, skip_unreadable: bool = False, **options):
    labels = None if table is None else str(table)
    config = DataConfig(str(folder), labels=labels, **{"image_size": 8, "validation": 0.25} | options)
    return load_dataset(config, skip_unreadable=skip_unreadable)


def write_table(file: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = ("path", "label")) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([header, *rows])
    return file


@pytest.fixture
def flat(tmp_path) -> Path:
    """A folder of 20 pictures without class folders."""
    for number in range(20):
        write_noise(tmp_path / "flat" / f"{number}.png", number)
    return tmp_path / "flat"


def alternating(count: int = 20) -> list[tuple[str, str]]:
    return [(f"{number}.png", ("wasp, big", "ant")[number % 2]) for number in range(count)]


SPLITS = ("train", "val", "test")


@pytest.mark.parametrize("has_splits", [False, True])
def test_a_table_of_class_folders_gives_the_data_of_these_folders(make_folder, tmp_path, has_splits):
    counts = {"ant/red": 9, "ant": 8, "bee": 20}
    folder = make_folder(
        {f"{split}/{name}": n for split in SPLITS for name, n in counts.items()} if has_splits else counts
    )
    rows = []
    for path in folder.rglob("*.png"):
        names = path.relative_to(folder).parts
        rows.append([str(path.relative_to(folder)), names[has_splits], *names[:has_splits]])
    random.Random(0).shuffle(rows)
    found = load(folder, write_table(tmp_path / "labels.csv", rows, ("path", "label", "split")[: 2 + has_splits]))
    expected = load(folder, None)
    assert found.class_names == expected.class_names
    for split in SPLITS:
        part, other = getattr(found, split), getattr(expected, split)
        assert part.paths == other.paths
        assert torch.equal(part.labels, other.labels)
    if not has_splits:  # the names of the files below the split folders differ
        assert (found.fingerprint, found.held_out) == (expected.fingerprint, expected.held_out)


def test_classes_are_sorted_and_pictures_keep_their_labels(flat, tmp_path):
    data = load(flat, write_table(tmp_path / "labels.csv", alternating()))
    assert data.class_names == ("ant", "wasp, big")
    for split in (data.train, data.val, data.test):
        assert split.labels.tolist() == [int(Path(path).stem) % 2 == 0 for path in split.paths]


def test_absolute_and_windows_paths_name_the_same_pictures(make_folder, tmp_path):
    folder = make_folder({"a": 4, "b": 4})
    files = [(path.relative_to(folder), path.parent.name) for path in sorted(folder.rglob("*.png"))]
    forms = {
        "relative": [(str(file), label) for file, label in files],
        "dotted": [(f"./b/../{file}", label) for file, label in files],
        "absolute": [(str(folder / file), label) for file, label in files],
        "windows": [(str(file).replace("/", "\\"), label) for file, label in files],
    }
    found = [find_labelled(write_table(tmp_path / f"{name}.csv", rows), folder) for name, rows in forms.items()]
    assert len({part["train"].files for part in found}) == 1


def test_pictures_outside_of_the_folder(flat, tmp_path):
    outside = [write_noise(tmp_path / "other" / f"{number}.png", 50 + number) for number in range(8)]
    rows = [
        *alternating(),
        *((str(file), "ant") for file in outside[:4]),
        *((f"../other/{n}.png", "bee") for n in (4, 5, 6, 7)),
    ]
    data = load(flat, write_table(tmp_path / "labels.csv", rows), validation=0.0)
    paths = {str(Path(path).resolve()) for split in (data.train, data.test) for path in split.paths}
    assert paths == {str(file) for file in (*flat.iterdir(), *outside)}


def test_pictures_that_the_table_does_not_name_are_counted(flat, tmp_path):
    (flat / "notes.txt").touch()
    table = write_table(tmp_path / "labels.csv", alternating(15))
    with pytest.warns(
        PeerdistillWarning, match=f"^5 pictures in '{flat}' not named by '{table}': not used .'15.png', '16"
    ):
        assert len(find_labelled(table, flat)["train"].files) == 15


def test_a_picture_counts_once(flat, tmp_path):
    (flat / "link.png").symlink_to(flat / "1.png")
    table = write_table(tmp_path / "labels.csv", [*alternating(), ("1.png", "ant"), ("link.png", "ant")])
    with pytest.warns(PeerdistillWarning, match="names 2 pictures again: each is used once"):
        assert len(find_labelled(table, flat)["train"].files) == 20


def test_splits_have_the_common_names_and_a_missing_one_is_taken_from_train(flat, tmp_path):
    splits = ["Training"] * 12 + ["testing"] * 8
    rows = [(*row, split) for row, split in zip(alternating(), splits, strict=True)]
    data = load(flat, write_table(tmp_path / "labels.csv", rows, ("path", "label", "split")))
    assert {Path(path).stem for path in data.test.paths} == {str(number) for number in range(12, 20)}
    assert len(data.train) + len(data.val) == 12


def test_unreadable_pictures_follow_the_rule_of_folders(flat, tmp_path):
    (flat / "3.png").write_bytes(b"no picture")
    table = write_table(tmp_path / "labels.csv", alternating())
    with pytest.raises(UserError, match=r"3.png.*--skip_unreadable leaves such pictures out"):
        load(flat, table)
    with pytest.warns(PeerdistillWarning, match="1 unreadable picture is left out"):
        assert load(flat, table, skip_unreadable=True).skipped == 1


def test_pictures_for_the_evaluation_of_another_run(flat, tmp_path):
    table = write_table(
        tmp_path / "labels.csv", [("1.png", "ant", "test"), ("2.png", "bee", "test")], ("path", "label", "split")
    )
    config = DataConfig(str(flat), labels=str(table), image_size=8)
    with pytest.warns(PeerdistillWarning):
        images, split = load_images(config, ("wasp", "bee", "ant"))
    assert (split, [Path(path).stem for path in images.paths], images.labels.tolist()) == ("test", ["1", "2"], [2, 1])
    with pytest.raises(
        UserError, match=r"class 'ant' of the test rows of '.*' is not a class of the run: it has 'bee'"
    ):
        load_images(config, ("bee",))
    with pytest.raises(UserError, match=f"^'{table}' has no val row: it has test$"):
        load_images(config, ("ant", "bee"), "val")


ALL = ("path", "label", "split")


@pytest.mark.parametrize(
    ("header", "rows", "sentence"),
    [
        (("file", "label"), [("1.png", "ant")], "'{}' must have the columns path and label, found 'file' and 'label'"),
        (("path", "label"), [], "'{}' has no rows below its first line"),
        (("path", "label"), [("1.png", " ")], "line 2 of '{}' has no label"),
        (ALL, [("1.png", "ant", "later")], "line 2 of '{}' has the unknown split 'later': use train, val or test"),
        (ALL, [("1.png", "ant", "")], "line 2 of '{}' has no split"),
        (
            ("path", "label"),
            [("1.png", "ant"), *((f"{n}.jpg", "bee") for n in range(5))],
            "'{folder}' lacks 5 of 6 files in '{}': '0.jpg', '1.jpg', '2.jpg' and 2 more, the first in line 3 of '{}'",
        ),
        (
            ("path", "label"),
            [("1.png", "ant"), ("2.png", "bee"), ("./1.png", "bee")],
            "line 4 of '{}' gives '1.png' the label 'bee', line 2 of '{}' 'ant'",
        ),
        (
            ALL,
            [("1.png", "a", "test"), ("1.png", "a", "train")],
            "line 3 of '{}' gives '1.png' the split 'train', line 2 of '{}' 'test'",
        ),
        (
            ("path", "label"),
            [("1.png", "ant"), ("2.png", "ant")],
            "'{}' has only one label, 'ant': training needs at least two",
        ),
        (ALL, [("1.png", "a", "test"), ("2.png", "b", "val")], "'{}' has no train row: its splits are val and test"),
        (
            ALL,
            [("1.png", "a", "train"), ("2.png", "b", "train"), ("3.png", "c", "val")],
            "line 4 of '{}' has the label 'c', which no train row has",
        ),
    ],
)
def test_a_wrong_table_is_an_error_of_one_sentence(flat, tmp_path, header, rows, sentence):
    table = write_table(tmp_path / "labels.csv", rows, header)
    with pytest.raises(UserError) as error:
        load(flat, table)
    assert str(error.value) == sentence.format(*[table] * sentence.count("{}"), folder=flat)


def test_a_table_that_is_not_there_or_not_for_folders(flat, make_npz):
    with pytest.raises(UserError, match=f"^there is no table of labels '{re.escape(str(flat))}'$"):
        load(flat, flat)
    with pytest.raises(UserError, match=r"^labels applies only to a folder of class folders, found data 'npz:"):
        DataConfig(f"npz:{make_npz()}", labels="labels.csv").check()


def test_a_moved_folder_has_the_same_content(flat, tmp_path):
    table = write_table(flat / "labels.csv", [(str(flat / path), label) for path, label in alternating()])
    before = load(flat, table)
    after = load(shutil.copytree(flat, tmp_path / "moved"), write_table(tmp_path / "new.csv", alternating()))
    assert (before.fingerprint, before.held_out) == (after.fingerprint, after.held_out)
