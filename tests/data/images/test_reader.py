import os
import pickle
import pwd
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from peerdistill.data import Augmentation, DataConfig, eval_batches, load_dataset, train_batches
from peerdistill.data.images import reader as reader_module
from peerdistill.data.images.cache_room import users_cache_folder
from peerdistill.data.images.decode import open_picture, read_picture
from peerdistill.data.images.preprocess import EvalCrop, Resized, fit
from peerdistill.data.images.reader import PictureReader, picture_reader
from peerdistill.errors import PeerdistillWarning, UserError

KINDS = [Resized(12, 3), Resized(99, 3), Resized(12, 1), EvalCrop(8, 3, 0.875), EvalCrop(8, 1, 1.0)]
KINDS += [Resized(12, 3, "bicubic"), EvalCrop(8, 3, 0.875, "bicubic"), EvalCrop(8, 3, 1.0)]


@pytest.fixture
def folder(make_folder) -> Path:
    return make_folder({"ant": 3, "bee": 3})


def open_reader(preprocess, folder: Path, tmp_path: Path, cache: str = "kept", **fields) -> PictureReader:
    where = cache if cache in ("auto", "off") else str(tmp_path / cache)
    return picture_reader(preprocess, folder, DataConfig(str(folder), cache=where, **fields))


def files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files that were decoded."""
    names = []
    decode = reader_module.read_listed
    monkeypatch.setattr(
        reader_module, "read_listed", lambda content, name, *size: names.append(name) or decode(content, name, *size)
    )
    return names


@pytest.mark.parametrize("preprocess", KINDS)
def test_cached_pictures_equal_decoded_ones(folder, tmp_path, decoded, preprocess):
    without = [open_reader(preprocess, folder, tmp_path, "off").read(file) for file in files(folder)]
    decoded.clear()
    for decodes in (True, False):
        reader = open_reader(preprocess, folder, tmp_path)
        for file, expected in zip(files(folder), without, strict=True):
            np.testing.assert_array_equal(reader.read(file), expected)
        assert decoded == (files(folder) if decodes else [])
        decoded.clear()


@pytest.fixture
def large(tmp_path) -> Path:
    """A smooth JPEG picture of 2048 x 1536 pixels with fine noise, upright only after a rotation by EXIF."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((2048, 1536), Image.BICUBIC)
    fine = np.asarray(coarse, dtype=np.int16) + rng.integers(-4, 5, (1536, 2048, 1))
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "large").mkdir()
    Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(tmp_path / "large" / "a.jpg", quality=92, exif=turned)
    return tmp_path / "large"


def test_training_decodes_large_jpeg_pictures_reduced(large, tmp_path, decoded):
    """To twice the length that is needed; by how much pixels differ then is in docs/data.md."""
    file = str(large / "a.jpg")
    expected = Resized(192, 3)(open_picture(file)).astype(int)
    found = open_reader(Resized(192, 3), large, tmp_path).read(file)
    assert found.shape == expected.shape == (256, 192, 3)
    difference = np.abs(found - expected)
    assert 0 < difference.mean() < 0.3
    assert difference.max() <= 4
    full = open_reader(Resized(192, 3, gap=10), large, tmp_path).read(file)  # 1536 is less than 10 x 192
    np.testing.assert_array_equal(full, expected)
    assert decoded == [file, file]  # no cache of one kind serves the other


@pytest.mark.parametrize(
    ("sufficient", "width"), [(None, 1536), (769, 1536), (768, 768), (385, 768), (384, 384), (9, 192)]
)
def test_a_jpeg_picture_is_never_reduced_too_far(large, sufficient, width):
    picture = read_picture((large / "a.jpg").read_bytes(), "a.jpg", sufficient)
    assert picture.size == (width, width * 4 // 3)


def test_evaluation_sees_every_pixel_of_large_pictures(large, tmp_path):
    """As predict and an exported page do."""
    file = str(large / "a.jpg")
    found = open_reader(EvalCrop(64, 3, 0.875), large, tmp_path, "off").read(file)
    np.testing.assert_array_equal(found, fit(open_picture(file), 64, 3, 0.875))


def test_evaluation_crops_are_what_a_deployed_leader_sees(folder, tmp_path):
    for file in files(folder):
        found = open_reader(EvalCrop(8, 3, 0.875), folder, tmp_path).read(file)
        assert np.array_equal(found, fit(open_picture(file), 8, 3, 0.875))


def test_a_changed_picture_is_decoded_again(folder, tmp_path):
    reader, file = open_reader(Resized(99, 3), folder, tmp_path), Path(files(folder)[0])
    before = reader.read(str(file)).copy()
    status = file.stat()
    changed = np.asarray(open_picture(file)).copy()
    changed[0, 0] ^= 1
    Image.fromarray(changed).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    for opened in (reader, open_reader(Resized(99, 3), folder, tmp_path)):
        assert np.array_equal(opened.read(str(file)), changed)
    assert not np.array_equal(before, changed)


def test_a_picture_that_became_unreadable_is_an_error(folder, tmp_path):
    reader, file = open_reader(Resized(99, 3), folder, tmp_path), files(folder)[0]
    reader.read(file)
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"cannot read picture '{file}': .*--skip_unreadable"):
        reader.read(file)
    Path(file).unlink()
    with pytest.raises(UserError, match=f"cannot read picture '{file}': no such file or directory .*--skip_unreadable"):
        reader.read(file)


def test_each_preprocessing_and_folder_has_its_cache(make_folder, tmp_path):
    for name in ("photos", "others"):
        folder = make_folder({"ant": 2, "bee": 2}, name=name)
        for preprocess in KINDS:
            open_reader(preprocess, folder, tmp_path).read(files(folder)[0])
    assert len(list((tmp_path / "kept").iterdir())) == 2 * len(KINDS)


def test_each_version_of_the_decoder_has_its_cache(folder, tmp_path, decoded, monkeypatch):
    open_reader(KINDS[0], folder, tmp_path).read(files(folder)[0])
    monkeypatch.setattr(reader_module.PIL, "__version__", "99")
    open_reader(KINDS[0], folder, tmp_path).read(files(folder)[0])
    assert decoded == files(folder)[:1] * 2


def test_location_of_caches(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    open_reader(KINDS[0], folder, tmp_path, "auto").read(files(folder)[0])
    (kept,) = (tmp_path / "mine" / "peerdistill" / "pictures").iterdir()
    assert kept.name.startswith("photos-")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert users_cache_folder() == tmp_path / "home" / ".cache" / "peerdistill" / "pictures"


def test_without_a_home_folder_nothing_is_cached_and_a_warning_says_so(folder, tmp_path, monkeypatch):
    """As in a container whose user is only a number."""

    def no_user(uid):
        raise KeyError(uid)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_user)
    with pytest.warns(PeerdistillWarning, match="because there is no home folder: choose a folder with --cache FOLDER"):
        kept = open_reader(KINDS[0], folder, tmp_path, "auto")
    assert kept.read(files(folder)[0]).size


def test_nothing_is_cached_with_cache_off(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    open_reader(KINDS[0], folder, tmp_path, "off").read(files(folder)[0])
    assert not (tmp_path / "mine").exists()


def test_a_reader_can_be_pickled(folder, tmp_path):
    reader = open_reader(KINDS[0], folder, tmp_path)
    expected = reader.read(files(folder)[0])
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).read(files(folder)[0]), expected)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_batches_do_not_depend_on_a_cache(make_folder, tmp_path, decoded, workers, augmentation):
    folder = make_folder({"train/ant": 9, "train/bee": 9, "test/ant": 3, "test/bee": 4})
    seen = {}
    for name, cache in (("without", "off"), ("empty", str(tmp_path / "c")), ("filled", str(tmp_path / "c"))):
        decoded.clear()
        data = load_dataset(DataConfig(str(folder), image_size=8, validation=0.0, cache=cache))
        how = {"device": "cpu", "workers": workers}
        training = train_batches(data.train, data, batch_size=5, augmentation=augmentation, seed=0, **how)
        seen[name] = [
            batch.images for batch in [*training.epoch(0), *eval_batches(data.test, data, batch_size=4, **how)]
        ]
        assert (decoded == []) == (name == "filled")
    for name in ("empty", "filled"):
        for expected, found in zip(seen["without"], seen[name], strict=True):
            assert torch.equal(expected, found)
