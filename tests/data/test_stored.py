import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from peerdistill.data import Augmentation, DataConfig, eval_batches, load_dataset, stored, train_batches
from peerdistill.data.cache_room import users_cache_folder
from peerdistill.data.pictures import fit, open_picture
from peerdistill.data.stored import Shrunk, Squares, stored_pictures
from peerdistill.errors import PeerdistillWarning, UserError

FORMS = [Shrunk(12, 3), Shrunk(99, 3), Shrunk(12, 1), Squares(8, 3, 0.875), Squares(8, 1, 1.0)]


@pytest.fixture
def folder(make_folder) -> Path:
    return make_folder({"ant": 3, "bee": 3})


def pictures(form, folder: Path, tmp_path: Path, cache: str = "kept", **fields):
    where = cache if cache in ("auto", "off") else str(tmp_path / cache)
    return stored_pictures(form, folder, DataConfig(str(folder), cache=where, **fields))


def files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files that were decoded."""
    names = []
    decode = stored.read_listed
    monkeypatch.setattr(stored, "read_listed", lambda content, name: names.append(name) or decode(content, name))
    return names


@pytest.mark.parametrize("form", FORMS)
def test_kept_pictures_are_those_that_are_decoded(folder, tmp_path, decoded, form):
    without = [pictures(form, folder, tmp_path, "off").read(file) for file in files(folder)]
    decoded.clear()
    for decodes in (True, False):
        reader = pictures(form, folder, tmp_path)
        for file, expected in zip(files(folder), without, strict=True):
            np.testing.assert_array_equal(reader.read(file), expected)
        assert decoded == (files(folder) if decodes else [])
        decoded.clear()


def test_squares_are_what_a_deployed_leader_sees(folder, tmp_path):
    for file in files(folder):
        found = pictures(Squares(8, 3, 0.875), folder, tmp_path).read(file)
        assert np.array_equal(found, fit(open_picture(file), 8, 3, 0.875))


def test_pictures_are_shrunk_and_never_enlarged(folder, tmp_path):
    file = files(folder)[0]
    whole = np.asarray(open_picture(file))
    assert np.array_equal(pictures(Shrunk(20, 3), folder, tmp_path).read(file), whole)
    shrunk = pictures(Shrunk(12, 3), folder, tmp_path).read(file)
    by_pillow = np.asarray(open_picture(file).resize((18, 12), Image.Resampling.BILINEAR))
    assert np.abs(shrunk.astype(int) - by_pillow).max() <= 1


def test_a_changed_picture_is_not_served_as_it_was(folder, tmp_path):
    reader, file = pictures(Shrunk(99, 3), folder, tmp_path), Path(files(folder)[0])
    before = reader.read(str(file)).copy()
    status = file.stat()
    changed = np.asarray(open_picture(file)).copy()
    changed[0, 0] ^= 1
    Image.fromarray(changed).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    for opened in (reader, pictures(Shrunk(99, 3), folder, tmp_path)):
        assert np.array_equal(opened.read(str(file)), changed)
    assert not np.array_equal(before, changed)


def test_a_picture_that_became_unreadable_is_told_of(folder, tmp_path):
    reader, file = pictures(Shrunk(99, 3), folder, tmp_path), files(folder)[0]
    reader.read(file)
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"cannot read picture '{file}': .*--skip_unreadable"):
        reader.read(file)
    Path(file).unlink()
    with pytest.raises(UserError, match=f"cannot read picture '{file}': no such file or directory .*--skip_unreadable"):
        reader.read(file)


def test_forms_and_folders_have_caches_of_their_own(make_folder, tmp_path):
    for name in ("photos", "others"):
        folder = make_folder({"ant": 2, "bee": 2}, name=name)
        for form in FORMS:
            pictures(form, folder, tmp_path).read(files(folder)[0])
    assert len(list((tmp_path / "kept").iterdir())) == 2 * len(FORMS)


def test_another_decoder_has_a_cache_of_its_own(folder, tmp_path, decoded, monkeypatch):
    pictures(FORMS[0], folder, tmp_path).read(files(folder)[0])
    monkeypatch.setattr(stored.PIL, "__version__", "99")
    pictures(FORMS[0], folder, tmp_path).read(files(folder)[0])
    assert decoded == files(folder)[:1] * 2


def test_places_of_caches(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    pictures(FORMS[0], folder, tmp_path, "auto").read(files(folder)[0])
    (kept,) = (tmp_path / "mine" / "peerdistill" / "pictures").iterdir()
    assert kept.name.startswith("photos-")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert users_cache_folder() == tmp_path / "home" / ".cache" / "peerdistill" / "pictures"


def test_without_a_home_folder_nothing_is_kept_and_that_is_said(folder, tmp_path, monkeypatch):
    """As in a container whose user is only a number."""

    def no_home(path="~"):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(PeerdistillWarning, match="for want of a home folder: --cache FOLDER names another one"):
        kept = pictures(FORMS[0], folder, tmp_path, "auto")
    assert kept.read(files(folder)[0]).size


def test_nothing_is_kept_where_the_cache_is_off(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    pictures(FORMS[0], folder, tmp_path, "off").read(files(folder)[0])
    assert not (tmp_path / "mine").exists()


def test_readers_go_to_processes_that_are_not_forked(folder, tmp_path):
    reader = pictures(FORMS[0], folder, tmp_path)
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
