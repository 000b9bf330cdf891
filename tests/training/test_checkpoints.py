import itertools
import multiprocessing
import os
import resource
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.files import WriteError
from peerdistill.training import Checkpoints


class Crash(BaseException):
    """The end of the process."""


def state(number: int) -> dict:
    """What could be in a checkpoint, told apart by its number."""
    weights = torch.arange(50.0) + 1000 * number
    return {"cohort": {"weight": weights}, "progress": {"step": number}, "random": {"python": (3, (number, 2), None)}}


def number_of(found: dict) -> int:
    """Which state this is, complete."""
    number = found["progress"]["step"]
    assert torch.equal(found["cohort"]["weight"], state(number)["cohort"]["weight"])
    assert found == found | {name: state(number)[name] for name in ("progress", "random")}
    return number


def last_of(folder: Path) -> int:
    found, _ = Checkpoints(folder).load_last()
    assert found is not None
    return number_of(found)


def best_of(folder: Path) -> int | None:
    checkpoints = Checkpoints(folder)
    return number_of(checkpoints.load(checkpoints.best)) if checkpoints.best.exists() else None


def crash_at(patch: pytest.MonkeyPatch, call: int) -> None:
    """Let the process end in place of the ``call``-th thing it does to the disk, counted from 0.

    Nothing that it would do afterwards is done: what ends is not tidied up.
    """
    calls = itertools.count()

    def is_over() -> bool:
        return 0 <= call <= next(calls)

    def watched(real):
        def act(*args, **options):
            if is_over():
                raise Crash
            return real(*args, **options)

        return act

    def half_written(real):
        def save(value, sink):
            if is_over():
                real(value, sink)
                sink._file.truncate(sink._file.tell() // 2)
                raise Crash
            real(value, sink)

        return save

    for owner, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (shutil, "copyfileobj")):
        patch.setattr(owner, name, watched(getattr(owner, name)))
    patch.setattr(torch, "save", half_written(torch.save))


@dataclass(frozen=True)
class Saving:
    """A process that saves a state, and ends at a call."""

    number: int
    best: bool = False
    call: int = -1

    def ends_early(self, folder: Path) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, self.call)
            try:
                Checkpoints(folder).save(state(self.number), best=self.best)
            except Crash:
                return True
        return False


def every_end(folder: Path, before: Sequence[Saving], saving: Saving) -> Iterator[Saving]:
    """Let the processes ``before`` have their way with a new folder, then one that ends at each of its calls in turn.

    Yield the last process each time. A copy of a folder would not do: it has no two names of one file.
    """
    for call in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for process in before:
            process.ends_early(folder)
        last = replace(saving, call=call)
        is_cut_short = last.ends_early(folder)
        yield last
        if not is_cut_short:
            assert call >= 4, "writing, syncing and renaming are several calls"
            return


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_last_and_the_one_before_it_are_kept(folder):
    checkpoints = Checkpoints(folder)
    assert checkpoints.load_last() == (None, "")
    for number in (1, 2, 3):
        checkpoints.save(state(number))
    found, warning = checkpoints.load_last()
    assert (number_of(found), warning) == (3, "")
    assert number_of(checkpoints.load(checkpoints.previous)) == 2
    assert sorted(file.name for file in folder.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("links", [True, False])
def test_best_keeps_the_content_that_was_last_then(folder, monkeypatch, links):
    def no_link(*names):
        raise OSError("this file system has no links")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1), best=True)
    assert checkpoints.best.read_bytes() == checkpoints.last.read_bytes()
    checkpoints.save(state(2), best=True)
    content = checkpoints.last.read_bytes()
    for number in (3, 4, 5):
        checkpoints.save(state(number))
    assert checkpoints.best.read_bytes() == content
    assert (best_of(folder), last_of(folder)) == (2, 5)


@pytest.mark.parametrize("best", [True, False])
def test_wherever_a_process_ends_a_whole_checkpoint_is_left(folder, best):
    ends = []
    for _ in every_end(folder, [Saving(1, best=True), Saving(2)], Saving(3, best)):
        ends.append((last_of(folder), best_of(folder)))
        Checkpoints(folder).save(state(4))
        assert last_of(folder) == 4
    assert {last for last, _ in ends} == {2, 3}
    assert {best for _, best in ends} == ({1, 3} if best else {1})
    assert ends == sorted(ends, key=lambda end: (end[0], end[1])), "once saved, a state stays saved"


def test_the_first_checkpoint_is_there_whole_or_not_at_all(folder):
    for _ in every_end(folder, [], Saving(1, best=True)):
        assert Checkpoints(folder).load_last()[0] is None or last_of(folder) == 1
        assert best_of(folder) in (None, 1)


def test_best_is_not_changed_by_what_is_written_after_a_crash(folder):
    """A file that a killed process left half renamed can be `best` under a second name."""
    first = Saving(1, best=True)
    for second in every_end(folder, [first], Saving(2, best=True)):
        best = best_of(folder)
        for _ in every_end(folder, [first, second], Saving(3)):
            assert best_of(folder) == best
            assert last_of(folder) in (1, 2, 3)


def test_a_file_is_on_disk_before_it_bears_its_name_and_the_name_is_before_saving_ends(folder, monkeypatch):
    order = []

    def note(name, real):
        return lambda *args: order.append(name) or real(*args)

    monkeypatch.setattr(os, "fsync", note("sync", os.fsync))
    monkeypatch.setattr(Path, "replace", note("rename", Path.replace))
    Checkpoints(folder).save(state(1))
    assert order == ["sync", "rename", "sync"]


def test_a_damaged_last_falls_back_and_says_so(folder):
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number))
    raw = checkpoints.last.read_bytes()
    weights = raw.index(state(2)["cohort"]["weight"].numpy().tobytes())
    damaged = bytearray(raw)
    damaged[weights + 3] ^= 1
    checkpoints.last.write_bytes(damaged)
    found, warning = checkpoints.load_last()
    assert number_of(found) == 1
    assert warning == f"the checkpoint {checkpoints.last} is damaged: resuming the checkpoint before it"
    with pytest.raises(UserError, match=f"^the checkpoint {checkpoints.last} is damaged$"):
        checkpoints.load(checkpoints.last)


def test_whatever_byte_is_damaged_nothing_but_a_sentence_comes_of_it(folder):
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number))
    raw = checkpoints.last.read_bytes()
    # A bit of every seventh byte, and of all bytes of the archive's list of records, its last record and the digest.
    for place in {*range(0, len(raw), 7), *range(raw.index(b"PK\x01\x02"), len(raw))}:
        checkpoints.last.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
        found, warning = checkpoints.load_last()
        assert found["progress"]["step"] == 1
        assert "is damaged: resuming the checkpoint before it" in warning


def test_a_last_that_was_cut_short_falls_back(folder):
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number))
    raw = checkpoints.last.read_bytes()
    for length in (0, 1, len(raw) // 2, len(raw) - 40, len(raw) - 1):
        checkpoints.last.write_bytes(raw[:length])
        found, warning = checkpoints.load_last()
        assert number_of(found) == 1
        assert "is damaged: resuming the checkpoint before it" in warning


def test_a_record_that_becomes_a_folder_is_noticed(folder):
    """One bit, which no checksum of the archive covers: PyTorch then leaves the tensor as its memory was."""
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    raw = bytearray(checkpoints.last.read_bytes())
    with zipfile.ZipFile(checkpoints.last) as archive:
        at = archive.start_dir
        for record in archive.infolist():
            if record.filename.endswith("data/0"):
                raw[at + 38] ^= 16
            at += 46 + len(record.filename) + len(record.extra) + len(record.comment)
    checkpoints.last.write_bytes(raw)
    found, warning = checkpoints.load_last()
    assert number_of(found) == 1
    assert "is damaged" in warning


def test_a_checkpoint_is_an_archive_that_others_can_read(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1))
    assert number_of(torch.load(checkpoints.last, weights_only=True)) == 1
    with zipfile.ZipFile(checkpoints.last) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"blake2b ")


def test_checkpoints_of_earlier_versions_can_be_read(folder):
    folder.mkdir()
    torch.save(state(1), folder / "last.pt")
    assert last_of(folder) == 1
    raw = bytearray((folder / "last.pt").read_bytes())
    raw[raw.index(state(1)["cohort"]["weight"].numpy().tobytes()) + 3] ^= 1
    (folder / "last.pt").write_bytes(raw)
    with pytest.raises(UserError, match="damaged"):
        last_of(folder)


def save_again_and_again(folder: Path) -> None:
    for number in itertools.count(3):
        Checkpoints(folder).save(state(number), best=number % 2 == 0)


def test_a_reader_always_finds_whole_checkpoints_while_another_process_saves(folder):
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number), best=True)
    writer = multiprocessing.get_context("fork").Process(target=save_again_and_again, args=(folder,), daemon=True)
    writer.start()
    try:
        while last_of(folder) < 20:
            for path in (checkpoints.previous, checkpoints.best):
                number_of(checkpoints.load(path))
        assert writer.is_alive()
    finally:
        writer.kill()
        writer.join()


def test_there_is_a_last_checkpoint_at_every_moment(folder, monkeypatch):
    """What is on disk before and after each thing that saving does to it."""
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number), best=True)
    seen = []

    def watched(real):
        def act(*args, **options):
            seen.append(last_of(folder))
            number_of(checkpoints.load(checkpoints.previous))
            result = real(*args, **options)
            seen.append(number_of(checkpoints.load(checkpoints.last)))
            return result

        return act

    for owner, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    checkpoints.save(state(3), best=True)
    assert set(seen) == {2, 3}
    assert seen == sorted(seen)


@pytest.mark.parametrize("room", [0, 100, 1500])
@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(folder, monkeypatch, room, links):
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1), best=True)
    checkpoints.save(state(2))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(WriteError, match=r"last\.pt can't be written: file too large$"):
            checkpoints.save(state(3), best=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_no_folder_is_made_for_a_run_that_is_gone(folder, tmp_path):
    with pytest.raises(WriteError, match="can't be written: no such file or directory"):
        Checkpoints(tmp_path / "gone" / "checkpoints").save(state(1))
    assert not (tmp_path / "gone").exists()


def test_a_last_that_is_missing_falls_back(folder):
    checkpoints = Checkpoints(folder)
    for number in (1, 2):
        checkpoints.save(state(number))
    checkpoints.last.unlink()
    found, warning = checkpoints.load_last()
    assert number_of(found) == 1
    assert warning == f"there is no checkpoint {checkpoints.last}: resuming the checkpoint before it"


def test_nothing_to_fall_back_on_is_an_error(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1))
    checkpoints.last.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"last\.pt is damaged, and there is no checkpoint before it$"):
        checkpoints.load_last()
    checkpoints.previous.write_bytes(b"broken too")
    with pytest.raises(UserError, match=r"previous\.pt is damaged$"):
        checkpoints.load_last()


def test_a_checkpoint_that_is_missing_is_named(folder):
    checkpoints = Checkpoints(folder)
    with pytest.raises(UserError, match=f"^there is no checkpoint {checkpoints.best}$"):
        checkpoints.load(checkpoints.best)


class Trap:
    """What a stranger could put into a pickle."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_no_code_in_a_checkpoint_is_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(folder)
    checkpoints.save({"trap": Trap()})
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load(checkpoints.last)
    assert not Path("trapped").exists()


def test_an_opened_checkpoint_is_read_when_it_is_used(folder):
    checkpoints = Checkpoints(folder)
    bank = torch.arange(2**20, dtype=torch.float32)
    checkpoints.save({"bank": bank, "weight": torch.ones(3)})
    opened = checkpoints.open(checkpoints.last)
    checkpoints.save({"bank": bank + 1, "weight": torch.zeros(3)})
    assert torch.equal(opened["bank"], bank)  # of the file that was opened, which has been replaced since
    assert opened["weight"].tolist() == [1, 1, 1]
    assert torch.equal(checkpoints.open(checkpoints.last)["bank"], bank + 1)


def test_a_damaged_checkpoint_can_not_be_opened(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1))
    raw = bytearray(checkpoints.last.read_bytes())
    raw[len(raw) // 2] ^= 1
    checkpoints.last.write_bytes(raw)
    with pytest.raises(UserError, match=r"last\.pt is damaged"):
        checkpoints.open(checkpoints.last)
    with pytest.raises(UserError, match=r"there is no checkpoint .*best\.pt"):
        checkpoints.open(checkpoints.best)
