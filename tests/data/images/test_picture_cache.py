import os
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from peerdistill.data.images.cache_room import CacheRoom
from peerdistill.data.images.picture_cache import PictureCache
from peerdistill.errors import PeerdistillWarning

MIB = 2**20


@pytest.fixture
def open_cache(tmp_path):
    """Return a function that opens a cache as another run would."""

    def open_it(name: str = "photos", most_bytes: int = 100 * MIB) -> PictureCache:
        return PictureCache(tmp_path / name, 3, CacheRoom(tmp_path, most_bytes))

    return open_it


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def picture(number: int, height: int | None = None, width: int = 31) -> np.ndarray:
    """Another size for every number, most of them no multiple of a word."""
    shape = (5 + number if height is None else height, width, 3)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def fill(cache: PictureCache, numbers) -> None:
    for number in numbers:
        cache.add(key(number), picture(number))


def kept(cache: PictureCache, numbers) -> list[int]:
    """Return which of the pictures are there; those that are must be right."""
    found = []
    for number in numbers:
        pixels = cache.get(key(number))
        if pixels is not None:
            np.testing.assert_array_equal(pixels, picture(number))
            found.append(number)
    return found


def test_added_pictures_are_found_by_this_run_and_the_next(open_cache):
    first = open_cache()
    fill(first, range(20))
    assert kept(first, range(25)) == list(range(20))
    assert kept(open_cache(), range(25)) == list(range(20))


def test_a_run_finds_pictures_that_another_run_adds(open_cache):
    first, second = open_cache(), open_cache()
    fill(first, range(0, 20, 2))
    fill(second, range(1, 20, 2))
    assert kept(first, range(20)) == kept(second, range(20)) == list(range(20))


def test_a_picture_is_stored_once(open_cache, tmp_path):
    first, second = open_cache(), open_cache()
    fill(first, range(5))
    size = (tmp_path / "photos" / "pixels").stat().st_size
    fill(second, range(5))
    fill(first, range(5))
    assert (tmp_path / "photos" / "pixels").stat().st_size == size


def test_threads_share_a_cache(open_cache):
    cache = open_cache()
    with ThreadPool(8) as pool:
        pool.map(lambda number: fill(cache, [number]), [*range(60), *range(60)])
        assert sum(pool.map(lambda number: len(kept(cache, [number])), range(60))) == 60
    assert kept(open_cache(), range(60)) == list(range(60))


def size(cache: Path) -> int:
    return sum((cache / name).stat().st_size for name in ("pixels", "index"))


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_picture_cache import CacheRoom, PictureCache, fill
    cache = PictureCache(Path(sys.argv[2]) / "photos", 3, CacheRoom(Path(sys.argv[2]), 2**30))
    start, end, step = map(int, sys.argv[3:])
    for number in range(start, end, step):
        fill(cache, [number])
        print(number, flush=True)
    """
)


def start_writer(tmp_path, start: int, end: int, step: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, Path(__file__).parent, tmp_path, start, end, step]
    return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_cache(open_cache, tmp_path):
    writers = [start_writer(tmp_path, start, 200, 3) for start in (0, 1, 0)]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    wanted = [number for number in range(200) if number % 3 < 2]
    assert kept(open_cache(), range(200)) == wanted
    expected = sum(-(-picture(number).size // 8) * 8 for number in wanted)
    assert (tmp_path / "photos" / "pixels").stat().st_size == expected


def test_the_cache_of_a_killed_run_can_be_used_and_extended(open_cache, tmp_path):
    writer = start_writer(tmp_path, 0, 100_000, 1)
    assert writer.stdout is not None
    done = [int(writer.stdout.readline()) for _ in range(30)]
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    cache = open_cache()
    assert kept(cache, done) == done
    more = range(200_000, 200_005)
    cache.add(key(more[0]), picture(1))
    assert np.array_equal(open_cache().get(key(more[0])), picture(1))


@pytest.mark.parametrize("cut", [1, 20, 47, 48])
def test_an_incomplete_record_is_overwritten(open_cache, tmp_path, cut):
    fill(open_cache(), range(6))
    index = tmp_path / "photos" / "index"
    os.truncate(index, index.stat().st_size - cut)
    cache = open_cache()
    assert kept(cache, range(6)) == list(range(5))
    fill(cache, range(8))
    assert kept(open_cache(), range(8)) == list(range(8))


def cut_pixels(folder: Path) -> None:
    os.truncate(folder / "pixels", 2000)


def empty_pixels(folder: Path) -> None:
    os.truncate(folder / "pixels", 0)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "pixels").read_bytes())
    content[1500] ^= 4
    (folder / "pixels").write_bytes(content)


def zero_pixels(folder: Path) -> None:
    size = (folder / "pixels").stat().st_size
    (folder / "pixels").write_bytes(bytes(size))


def scramble_index(folder: Path) -> None:
    (folder / "index").write_bytes(np.random.default_rng(0).bytes(480))


def zero_index(folder: Path) -> None:
    (folder / "index").write_bytes(bytes(480))


DAMAGES = [cut_pixels, empty_pixels, flip_a_bit, zero_pixels, scramble_index, zero_index]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_reported_once_and_damaged_pictures_are_cached_again(open_cache, tmp_path, damage):
    fill(open_cache(), range(10))
    damage(tmp_path / "photos")
    with warnings.catch_warnings(record=True, action="always") as told:
        cache = open_cache()
        left = kept(cache, range(10))
        fill(cache, range(10))
        assert kept(cache, range(10)) == list(range(10))
    assert len(left) < 10
    folder = tmp_path / "photos"
    damaged = "is partly damaged: the damaged pictures are decoded and cached again"
    sentence = f"the cache of decoded pictures in '{folder}' {damaged}"
    assert [(note.category, str(note.message)) for note in told] == [(PeerdistillWarning, sentence)]
    with warnings.catch_warnings(action="ignore"):
        assert kept(open_cache(), range(10)) == list(range(10))


def test_nothing_is_added_beyond_the_size_limit(open_cache, tmp_path):
    cache = open_cache(most_bytes=20_000)
    with pytest.warns(PeerdistillWarning, match="is full: further pictures are decoded in every epoch") as told:
        fill(cache, range(40))
    assert len(told) == 1
    files = [tmp_path / "photos" / name for name in ("pixels", "index")]
    assert 15_000 < sum(file.stat().st_size for file in files) <= 20_000
    found = kept(cache, range(40))
    assert found == list(range(len(found)))
    assert found


def test_the_least_recently_used_cache_is_removed(open_cache, tmp_path):
    for name, used in (("old", 1_000), ("older", 500), ("new", 2_000)):
        cache = open_cache(name)
        fill(cache, range(8))
        del cache
        os.utime(tmp_path / name / "in_use", (used, used))
    taken = sum(size(tmp_path / name) for name in ("old", "older", "new"))
    cache = open_cache("mine", most_bytes=taken + 100)
    fill(cache, range(8))
    assert kept(cache, range(8)) == list(range(8))
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new", "mine"}


def test_a_cache_in_use_is_not_removed(open_cache, tmp_path):
    used = open_cache("used")
    fill(used, range(8))
    cache = open_cache("mine", most_bytes=size(tmp_path / "used") + 100)
    with pytest.warns(PeerdistillWarning, match="mine' is full"):
        fill(cache, range(8))
    assert kept(used, range(8)) == list(range(8))
    assert kept(cache, range(8)) == []


def test_other_caches_are_not_removed_for_a_picture_that_never_fits(open_cache, tmp_path):
    fill(open_cache("other"), range(8))
    cache = open_cache("mine", most_bytes=400)
    with pytest.warns(PeerdistillWarning, match="mine' is full"):
        fill(cache, range(8))
    assert kept(open_cache("other"), range(8)) == list(range(8))


def test_the_disk_is_not_filled(open_cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4 * 2**30))
    cache = open_cache()
    with pytest.warns(PeerdistillWarning, match="is full"):
        fill(cache, range(3))
    assert kept(cache, range(3)) == []


def test_folders_that_are_not_caches_are_not_removed(open_cache, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "pixels").write_bytes(bytes(1000))
    cache = open_cache("mine", most_bytes=900)
    with pytest.warns(PeerdistillWarning, match="mine' is full"):
        fill(cache, range(8))
    assert (tmp_path / "thesis" / "pixels").read_bytes() == bytes(1000)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(PeerdistillWarning, match="can't be used: "):
        cache = PictureCache(tmp_path / "file" / "photos", 3, CacheRoom(tmp_path / "file", MIB))
    fill(cache, range(3))
    assert kept(cache, range(3)) == []


def test_a_folder_that_is_deleted_is_no_error(open_cache, tmp_path):
    cache = open_cache()
    fill(cache, range(3))
    for file in (tmp_path / "photos").iterdir():
        file.unlink()
    (tmp_path / "photos").rmdir()
    with pytest.warns(PeerdistillWarning, match="can't be used: no such file or directory"):
        fill(cache, range(3, 6))
    with warnings.catch_warnings(action="ignore"):
        assert kept(cache, range(3, 6)) == []
