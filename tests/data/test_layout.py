import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.data.layout import find_splits, split_called
from peerdistill.errors import UserError

NAMES = (
    st.text("abcxyz0 é-", min_size=1, max_size=4).map(str.strip).filter(lambda name: name and not split_called(name))
)
CLASSES = st.lists(NAMES, min_size=2, max_size=4, unique=True)


def pictures(*folders: str, files=("0.png", "1.JPG")) -> list[str]:
    return [f"{folder}/{file}" for folder in folders for file in files]


def found(paths) -> dict[str, tuple[str, ...]]:
    return {split: part.paths() for split, part in find_splits(paths, "photos").splits.items()}


def sentence(paths) -> str:
    with pytest.raises(UserError) as error:
        find_splits(paths, "photos")
    return str(error.value)


@given(CLASSES, st.lists(NAMES, max_size=2), st.randoms())
def test_class_folders_are_found_wherever_they_are(classes, wrapping, random):
    start = "".join(f"{name}/" for name in wrapping)
    paths = pictures(*(start + name for name in classes))
    random.shuffle(paths)
    layout = find_splits(paths, "photos")
    assert set(layout.splits["train"].class_names) == set(classes)
    assert sorted(layout.splits["train"].paths()) == sorted(paths)
    assert layout.notes == ()


@given(
    CLASSES,
    st.sampled_from(["train", "Train", "TRAINING", "training_set", "trn", "train-images"]),
    st.sampled_from(["val", "Valid", "validation", "dev", "val_set", "Validation Data"]),
    st.sampled_from(["test", "TEST", "Testing", "tst", "test_set", "test-images"]),
    st.lists(NAMES, max_size=2),
)
def test_splits_are_found_by_their_usual_names(classes, train, val, test, wrapping):
    start = "".join(f"{name}/" for name in wrapping)
    paths = {name: pictures(*(f"{start}{name}/{one}" for one in classes)) for name in (train, val, test)}
    splits = found([path for part in paths.values() for path in part])
    assert {split: set(part) for split, part in splits.items()} == {
        "train": set(paths[train]),
        "val": set(paths[val]),
        "test": set(paths[test]),
    }


@given(CLASSES, st.sampled_from(["@eaDir", "__MACOSX", ".thumbnails", ".ipynb_checkpoints", "lost+found", "THUMBS.DB"]))
def test_what_systems_leave_is_no_data(classes, sidecar):
    paths = pictures(*classes)
    left = [*pictures(sidecar, f"{sidecar}/deep", f"{classes[0]}/{sidecar}"), f"{classes[0]}/._0.png", f"{sidecar}/"]
    assert found(paths + left) == found(paths)


def test_folders_of_an_archive_may_have_entries_of_their_own():
    paths = pictures("ant", "bee")
    assert found([*paths, "ant/", "bee/"]) == found(paths)


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("a", "b", "c"), ("trainA", "testA")])
def test_folders_that_all_hold_the_same_folders_are_no_classes(names):
    paths = pictures(*(f"{name}/{one}" for name in names for one in ("ant", "bee")))
    assert sentence(paths).endswith(
        "rename them to train, val and test if they are splits, or choose one of them as data"
    )


def test_splits_inside_of_classes_are_refused():
    paths = pictures("ant/train", "ant/test", "bee/train", "bee/test")
    assert sentence(paths).startswith("every folder in 'photos' contains test and train: put the class folders into")


def test_classes_may_keep_their_pictures_in_a_folder_of_one_name():
    assert len(found(pictures("n01/images", "n02/images"))["train"]) == 4


def test_a_class_may_be_called_train():
    assert set(find_splits(pictures("train", "bus"), "photos").splits) == {"train"}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ((), "'photos' has no class folders"),
        (("ant",), "'photos' has only one class folder, 'ant'"),
        (("val/ant", "test/ant"), "'photos' has the folders test and val but no train folder"),
        (
            ("x/train/ant", "x/train/bee", "x/Training/ant"),
            "'photos/x' has the folders Training and train: only one training folder",
        ),
        (
            ("train/ant", "train/bee", "eval/ant", "eval/bee"),
            "'photos' has the folders eval and train: rename eval to val or test",
        ),
        (("train", "test"), "'photos/train' has no class folders"),
        (("a/" * 70 + "x",), "'photos' has more than 64 levels of folders"),
    ],
)
def test_refused(folders, expected):
    assert sentence(pictures(*folders)).startswith(expected)


def test_an_empty_class_is_refused_for_training_and_reported_otherwise():
    assert sentence([*pictures("ant", "bee"), "cow/"]).startswith("class folder 'photos/cow' has no pictures (")
    paths = [*pictures("train/ant", "train/bee", "test/ant"), "test/bee/"]
    test = find_splits(paths, "photos").splits["test"]
    assert (test.class_names, test.empty) == (("ant",), ("bee",))


def test_a_split_with_one_class_is_not_looked_through():
    paths = pictures("train/ant/x", "train/ant/y", "train/bee", "test/ant/x", "test/ant/y")
    assert find_splits(paths, "photos").splits["test"].class_names == ("ant",)


def test_what_is_left_out_is_named():
    paths = pictures("train/ant", "train/bee", "test/ant", "devkit/ant", "devkit/cow")
    others = ["train/ant/a.heic", "train/ant/b.HEIC", "train/bee/noise", "train/loose.png", "train/ant/notes.txt"]
    assert find_splits(paths + others, "photos").notes == (
        "'devkit' in 'photos', beside the split folders: not used",
        "1 picture of 'photos' outside of class folders: not used ('train/loose.png')",
        "3 files of 'photos' with an unsupported format: not used (2 .heic, 1 no suffix; the first is "
        "'train/ant/a.heic')",
    )
