import threading
from pathlib import Path

import pytest

from peerdistill import files
from peerdistill.files import (
    WriteError,
    drafting,
    lock_shared,
    locked,
    remove_unused,
    scratch_folder,
    write_whole,
)
from support.killed import leave_scratch_folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("content", ["ü\n", b"\0\xff"])
def test_a_file_is_replaced(tmp_path, content, shared):
    file = tmp_path / "a.txt"
    file.write_text("before")
    write_whole(file, content, shared=shared)
    assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_earlier_file(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("before")

    def write() -> None:
        with drafting(file) as draft:
            draft.write_text("a part")
            raise error

    with pytest.raises((WriteError, KeyboardInterrupt), match=r"a\.txt can't be written: no space left on device|^$"):
        write()
    assert file.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_processes_that_share_a_file_have_different_temporary_names(tmp_path):
    with drafting(tmp_path / "a", shared=True) as first, drafting(tmp_path / "a", shared=True) as second:
        assert first != second


@pytest.mark.parametrize("has_fcntl", [True, False])
def test_a_lock_excludes_other_threads(tmp_path, monkeypatch, has_fcntl):
    if not has_fcntl:
        monkeypatch.setattr(files, "fcntl", None)
    inside: list[int] = []
    most = 0

    def work() -> None:
        nonlocal most
        for _ in range(20):
            with locked(tmp_path / "lock"):
                inside.append(1)
                most = max(most, len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_files_in_use_are_not_removed(tmp_path):
    mark, kept = tmp_path / "mark", tmp_path / "kept"
    kept.touch()
    with mark.open("w") as used:
        lock_shared(used)
        with pytest.raises(OSError):  # noqa: PT011 (the system's own words)
            remove_unused(mark, [kept])
    assert kept.exists()
    remove_unused(mark, [kept, Path(tmp_path / "absent")])
    assert names(tmp_path) == []


def test_a_scratch_folder_is_removed_at_its_end(tmp_path):
    with scratch_folder(tmp_path) as folder:
        (folder / "a" / "b").mkdir(parents=True)
        assert folder.parent == tmp_path
    assert names(tmp_path) == []


def test_scratch_folders_of_killed_processes_are_removed_and_others_are_not(tmp_path):
    other = tmp_path / ".peerdistill-of-somebody-else"
    other.mkdir()
    left = leave_scratch_folder(tmp_path)
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert {path.name for path in tmp_path.iterdir()} == {other.name, first.name, second.name}
        assert left not in (first, second)
    assert names(tmp_path) == [other.name]


@pytest.mark.parametrize("broken", ["lock_shared", "fcntl"])
def test_without_locks_a_scratch_folder_is_never_removed_by_others(tmp_path, monkeypatch, broken):
    def no_locks(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files, broken, None if broken == "fcntl" else no_locks)
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path):
        assert first.exists()
    assert names(tmp_path) == []
