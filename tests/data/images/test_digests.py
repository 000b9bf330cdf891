import os
from pathlib import Path

import pytest

from peerdistill.data.images import digests
from peerdistill.data.images.digests import KnownDigests, as_rows, digest_of


@pytest.fixture
def photo(tmp_path) -> Path:
    (tmp_path / "photo.png").write_bytes(b"before")
    return tmp_path / "photo.png"


@pytest.fixture
def an_hour_later(monkeypatch):
    """Let files that were written just now count as old."""
    now = digests.time.time_ns()
    monkeypatch.setattr(digests.time, "time_ns", lambda: now + 3600 * 10**9)


def digest(known: KnownDigests, path: Path, readings: list[str]) -> bytes:
    def read(name: str) -> bytes:
        readings.append(name)
        return digest_of(Path(name).read_bytes())

    found = known.digest(str(path), read)
    known.keep()
    return found


def test_an_unchanged_file_is_read_once(photo, tmp_path, an_hour_later):
    readings: list[str] = []
    found = {digest(KnownDigests(tmp_path / "known"), photo, readings) for _ in range(3)}
    assert found == {digest_of(b"before")}
    assert readings == [str(photo)]


def test_nothing_is_remembered_without_a_file(photo, an_hour_later):
    readings: list[str] = []
    for _ in range(2):
        digest(KnownDigests(None), photo, readings)
    assert len(readings) == 2


def test_a_file_that_was_written_just_now_is_read_again(photo, tmp_path):
    readings: list[str] = []
    for _ in range(2):
        digest(KnownDigests(tmp_path / "known"), photo, readings)
    assert len(readings) == 2


def write_over(photo: Path) -> None:
    photo.write_bytes(b"after!")


def put_another_in_its_place(photo: Path) -> None:
    (photo.parent / "other").write_bytes(b"after!")
    (photo.parent / "other").replace(photo)


@pytest.mark.parametrize("change", [write_over, put_another_in_its_place])
def test_other_content_with_the_same_size_and_time_is_detected(photo, tmp_path, change, an_hour_later):
    times = (photo.stat().st_atime_ns, photo.stat().st_mtime_ns)
    assert digest(KnownDigests(tmp_path / "known"), photo, []) == digest_of(b"before")
    change(photo)
    os.utime(photo, ns=times)
    assert digest(KnownDigests(tmp_path / "known"), photo, []) == digest_of(b"after!")


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"\0" + content[1:], lambda _: b""])
def test_damaged_records_are_ignored(photo, tmp_path, damage, an_hour_later):
    file, readings = tmp_path / "known", []
    digest(KnownDigests(file), photo, readings)
    file.write_bytes(damage(file.read_bytes()))
    assert digest(KnownDigests(file), photo, readings) == digest_of(b"before")
    assert len(readings) == 2


def test_a_file_that_cannot_be_written_is_no_error(photo, tmp_path, an_hour_later):
    assert digest(KnownDigests(photo / "known"), photo, []) == digest_of(b"before")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png"]


def test_rows():
    assert as_rows([]).shape == (0, 16)
    assert [row.tobytes() for row in as_rows([digest_of(b"a"), digest_of(b"b")])] == [digest_of(b"a"), digest_of(b"b")]
