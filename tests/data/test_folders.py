import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

from peerdistill.data import DataConfig, eval_batches, load_dataset, pictures, train_batches
from peerdistill.data.augmentation import Augmentation
from peerdistill.errors import PeerdistillWarning, UserError


def load(folder, skip_unreadable=False, **fields):
    config = DataConfig(str(folder), **{"image_size": 8, "validation": 0.25} | fields)
    return load_dataset(config, skip_unreadable=skip_unreadable)


def sentence(folder, **arguments) -> str:
    with pytest.raises(UserError) as error:
        load(folder, **arguments)
    return str(error.value)


def files(split, folder) -> set[str]:
    return set() if split is None else {Path(path).relative_to(folder).as_posix() for path in split.paths}


def place(file: str) -> float:
    """The first 12 hex digits of the path's SHA-256 as a fraction."""
    return int(hashlib.sha256(file.encode()).hexdigest()[:12], 16) / 16**12


def test_class_folders_are_divided_by_the_hash_of_the_path(make_folder):
    folder = make_folder({"ant": 40, "bee": 40})
    dataset = load(folder)
    everything = {f"{name}/{number}.png" for name in ("ant", "bee") for number in range(40)}
    assert files(dataset.test, folder) == {file for file in everything if place(file) < 0.2}
    assert files(dataset.val, folder) == {file for file in everything if 0.2 <= place(file) < 0.4}
    assert files(dataset.train, folder) == {file for file in everything if place(file) >= 0.4}
    for split in (dataset.train, dataset.val, dataset.test):
        names = [dataset.class_names[label] for label in split.labels]
        assert names == [Path(path).parent.name for path in split.paths]
        assert list(split.paths) == sorted(split.paths)


def test_description(make_folder):
    dataset = load(make_folder({"ant": 20, "bee": 20}), image_size=16)
    assert (dataset.name, dataset.class_names) == ("photos", ("ant", "bee"))
    assert (dataset.channels, dataset.image_size, dataset.crop, dataset.skipped) == (3, 16, 224 / 256, 0)
    assert dataset.mean == (0.485, 0.456, 0.406)
    assert dataset.std == (0.229, 0.224, 0.225)


def test_files_stay_in_their_split_when_others_are_added(make_folder):
    before = load(make_folder({"ant": 30, "bee": 30}))
    folder = make_folder({"ant": 30, "bee": 10, "cow": 40}, first=30)
    after = load(folder)
    for name in ("train", "val", "test"):
        old, new = files(getattr(before, name), folder), files(getattr(after, name), folder)
        assert old <= new
        assert len(new) > len(old)


def test_test_split_does_not_depend_on_validation(make_folder):
    folder = make_folder({"ant": 30, "bee": 30})
    small, large = load(folder, validation=0.2), load(folder, validation=0.6)
    assert small.test.paths == large.test.paths
    assert set(small.val.paths) < set(large.val.paths)
    assert load(folder, validation=0.0).val is None


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_split_folders_are_used_as_such(make_folder, name):
    counts = {"train/ant": 3, "train/bee": 2, f"{name}/ant": 1, f"{name}/bee": 4, "test/ant": 2, "test/bee": 1}
    dataset = load(make_folder(counts))
    assert dataset.class_names == ("ant", "bee")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert dataset.val.labels.tolist() == [0, 1, 1, 1, 1]
    assert dataset.test.labels.tolist() == [0, 0, 1]


def test_validation_is_taken_from_train_when_there_is_a_test_folder(make_folder):
    folder = make_folder({"train/ant": 30, "train/bee": 30, "test/ant": 2, "test/bee": 2})
    dataset = load(folder)
    assert len(dataset.test) == 4
    assert len(dataset.train) + len(dataset.val) == 60
    val = files(dataset.val, folder / "train")
    assert val == {file for file in val | files(dataset.train, folder / "train") if place(file) < 0.25}
    assert val


def test_no_test_split_beside_a_validation_folder(make_folder):
    dataset = load(make_folder({"train/ant": 20, "train/bee": 20, "val/ant": 1, "val/bee": 1}))
    assert dataset.test is None
    assert (len(dataset.train), len(dataset.val)) == (40, 2)


def test_train_folder_alone_is_divided_like_class_folders(make_folder):
    inside = load(make_folder({"train/ant": 20, "train/bee": 20}, name="inside"))
    direct = load(make_folder({"ant": 20, "bee": 20}, name="direct"))
    assert inside.fingerprint == direct.fingerprint
    assert inside.test.labels.tolist() == direct.test.labels.tolist()


def test_class_may_be_called_train(make_folder):
    assert load(make_folder({"bus": 20, "train": 20})).class_names == ("bus", "train")


def test_other_folders_beside_train_are_ignored(make_folder):
    counts = {"train/ant": 9, "train/bee": 9, "test/ant": 2, "test/bee": 2, "devkit/data": 3}
    assert load(make_folder(counts)).class_names == ("ant", "bee")


def test_nested_pictures_count_and_hidden_or_other_files_do_not(make_folder):
    folder = make_folder({"ant": 10, "ant/spring/day 1": 10, "bee": 20, ".cache/x": 2, "bee/.thumbs": 2})
    (folder / "bee" / ".hidden.png").write_bytes(b"")
    (folder / "bee" / "notes.txt").write_text("not a picture")
    (folder / "README.png.md").write_text("nor this")
    (folder / "bee" / "0.png").rename(folder / "bee" / "0.PNG")
    dataset = load(folder)
    found = files(dataset.train, folder) | files(dataset.val, folder) | files(dataset.test, folder)
    expected = {f"ant/{n}.png" for n in range(10)} | {f"ant/spring/day 1/{n}.png" for n in range(10)}
    assert found == expected | {f"bee/{n}.png" for n in range(1, 20)} | {"bee/0.PNG"}


def test_linked_class_folders_are_followed(make_folder, tmp_path):
    folder = make_folder({"ant": 20, "bee": 20})
    (tmp_path / "links").mkdir()
    for name in ("ant", "bee"):
        (tmp_path / "links" / name).symlink_to(folder / name)
    assert load(tmp_path / "links").fingerprint == load(folder).fingerprint


def test_fingerprint_changes_with_a_file_name(make_folder):
    folder = make_folder({"train/ant": 4, "train/bee": 4, "test/ant": 1, "test/bee": 1})
    before = load(folder, validation=0.0)
    (folder / "train" / "ant" / "3.png").rename(folder / "train" / "ant" / "4.png")
    after = load(folder, validation=0.0)
    assert before.train.labels.tolist() == after.train.labels.tolist()
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("checked_at_once", [20_000, 0])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_fingerprints_change_with_the_content_of_a_picture(make_folder, monkeypatch, split, checked_at_once):
    monkeypatch.setattr(pictures, "CHECKED_AT_ONCE", checked_at_once)
    folder = make_folder({f"{name}/{kind}": 2 for name in ("train", "val", "test") for kind in ("ant", "bee")})
    before = load(folder)
    copied = load(shutil.copytree(folder, folder.parent / "copy"))
    assert (copied.fingerprint, copied.held_out) == (before.fingerprint, before.held_out)
    picture = folder / split / "ant" / "0.png"
    Image.open(picture).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture)
    after = load(folder)
    prints = [{"train": data.fingerprint, **data.held_out} for data in (before, after)]
    assert {name for name in prints[0] if prints[0][name] != prints[1][name]} == {split}


def test_folders_that_are_no_classes(make_folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert sentence(empty) == f"'{empty}' has no class folders: put the pictures of each class into a folder"
    one = make_folder({"ant": 2}, name="one")
    assert sentence(one) == f"'{one}' has only one class folder, 'ant': training needs at least two"
    hollow = make_folder({"ant": 2, "bee": 0}, name="hollow")
    assert sentence(hollow).startswith(f"class folder '{hollow / 'bee'}' has no pictures (BMP, ")


def test_split_folders_without_classes_or_training(make_folder):
    flat = make_folder({"train": 3, "test": 3}, name="flat")
    assert sentence(flat).startswith(f"'{flat / 'train'}' has no class folders")
    untrained = make_folder({"val/ant": 1, "val/bee": 1, "test/ant": 1, "test/bee": 1}, name="untrained")
    assert sentence(untrained) == f"'{untrained}' has the folders test and val but no train folder"
    twice = make_folder({"train/ant": 1, "train/bee": 1, "val/ant": 1, "validation/ant": 1}, name="twice")
    assert sentence(twice) == f"'{twice}' has the folders val and validation: only one validation folder is allowed"


def test_class_that_is_not_trained(make_folder):
    folder = make_folder({"train/ant": 2, "train/bee": 2, "test/ant": 2, "test/bee": 2, "test/cow": 2})
    assert sentence(folder) == (
        f"'{folder / 'train'}' and '{folder / 'test'}' have different class folders: 'cow' is only in 'test'"
    )


@pytest.mark.parametrize("lacking", [{}, {"test/bee": 0}])
def test_a_held_out_split_may_lack_a_class(make_folder, lacking):
    folder = make_folder({"train/ant": 2, "train/bee": 2, "train/cow": 2, "test/ant": 1, "test/cow": 2, **lacking})
    with pytest.warns(PeerdistillWarning, match=f"'{folder}/test' has no picture of 'bee'"):
        dataset = load(folder, validation=0.0)
    assert dataset.class_names == ("ant", "bee", "cow")
    assert dataset.test.labels.tolist() == [0, 2, 2]


@pytest.mark.parametrize("validation", [0.0, 0.25, 0.9])
def test_one_picture_of_every_class_is_trained_whatever_its_hash(make_folder, validation):
    folder = make_folder({"ant": 20, "bee": 0})
    held_out = [number for number in range(100) if place(f"bee/{number}.png") < 0.2][:3]
    for number in held_out:
        make_folder({"bee": 1}, first=number)
    last = max((f"bee/{number}.png" for number in held_out), key=place)
    dataset = load(folder, validation=validation)
    assert {file for file in files(dataset.train, folder) if "bee" in file} == {last}
    everything = [f"ant/{number}.png" for number in range(20)] + [f"bee/{number}.png" for number in held_out]
    assert files(dataset.test, folder) == {file for file in everything if place(file) < 0.2} - {last}


def spoil(folder: Path, *names: str) -> None:
    """Cut pictures short."""
    for name in names:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])


def test_bad_picture_is_named_before_training(make_folder):
    folder = make_folder({"ant": 20, "bee": 20})
    spoil(folder, "bee/7.png", "bee/8.png")
    found = sentence(folder)
    assert found.startswith(f"cannot read picture '{folder / 'bee/7.png'}': ")
    assert found.endswith("(--skip_unreadable leaves such pictures out)")


@pytest.mark.parametrize("checked_at_once", [20_000, 0])
def test_bad_pictures_are_left_out_and_counted(make_folder, monkeypatch, checked_at_once):
    monkeypatch.setattr(pictures, "CHECKED_AT_ONCE", checked_at_once)
    folder = make_folder({"ant": 20, "bee": 20})
    whole = load(folder)
    spoil(folder, "ant/3.png", "bee/7.png", "bee/8.png")
    dataset = load(folder, skip_unreadable=True)
    assert dataset.skipped == 3
    for name in ("train", "val", "test"):
        before, after = files(getattr(whole, name), folder), files(getattr(dataset, name), folder)
        assert after == before - {"ant/3.png", "bee/7.png", "bee/8.png"}


def test_class_of_bad_pictures_only(make_folder):
    folder = make_folder({"ant": 20, "bee": 2})
    spoil(folder, "bee/0.png", "bee/1.png")
    assert sentence(folder, skip_unreadable=True).startswith(f"class 'bee' of '{folder}' has no training picture")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_picture_of_a_large_folder_is_named_when_it_is_reached(make_folder, monkeypatch, workers):
    monkeypatch.setattr(pictures, "CHECKED_AT_ONCE", 0)
    folder = make_folder({"train/ant": 2, "train/bee": 2, "val/ant": 1, "val/bee": 1})
    spoil(folder, "train/bee/1.png")
    dataset = load(folder)
    batches = train_batches(
        dataset.train, dataset, batch_size=2, augmentation=Augmentation(), seed=0, device="cpu", workers=workers
    )
    # Not pytest.raises: it ties this frame into a cycle of garbage, which the workers take ten seconds to leave.
    message = ""
    try:
        list(batches.epoch(0))
    except UserError as error:
        message = str(error)
    assert message.startswith(f"cannot read picture '{folder / 'train/bee/1.png'}': ")
    assert "Traceback" not in message


def test_shared_flowers(shared_data):
    dataset = load(shared_data / "flowers", image_size=64, validation=0.1)
    assert dataset.class_names == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    splits = [dataset.train, dataset.val, dataset.test]
    assert sum(len(split) for split in splits) == 200
    assert sum(split.labels.bincount(minlength=5) for split in splits).tolist() == [40] * 5
    for split in splits:
        batch = next(iter(eval_batches(split, dataset, batch_size=8, device="cpu", workers=0)))
        assert batch.images.shape == (8, 3, 64, 64)
        assert batch.images.isfinite().all()


def test_picture_of_every_suffix_counts(make_folder):
    folder = make_folder({"bee": 20, "ant": 20})
    for suffix in ("bmp", "gif", "jpeg", "jpg", "ppm", "tif", "tiff", "webp"):
        Image.new("RGB", (9, 9)).save(folder / "ant" / f"x.{suffix}")
    Image.new("L", (9, 9)).save(folder / "ant" / "x.pgm")
    Image.new("1", (9, 9)).save(folder / "ant" / "x.pbm")
    dataset = load(folder)
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 50
