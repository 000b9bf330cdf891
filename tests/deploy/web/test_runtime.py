"""onnxruntime-web comes from npm or from a folder, and only with the expected content."""

import os
from pathlib import Path

import pytest

from peerdistill.deploy.web.runtime import FILES, FOLDER_VARIABLE, VERSION, runtime_files
from peerdistill.errors import UserError


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def fake_npm(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``program`` the only npm."""
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{program}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))


def test_a_named_folder_is_read_without_npm(runtime_folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(FOLDER_VARIABLE, str(runtime_folder))
    assert set(runtime_files()) == set(FILES)


def test_a_folder_with_other_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    first = next(iter(FILES))
    with pytest.raises(UserError, match=f"cannot read {tmp_path / first}: no such file"):
        runtime_files()
    (tmp_path / first).write_text("alert(1)")
    with pytest.raises(UserError, match=f"{first} is not that of onnxruntime-web {VERSION}"):
        runtime_files()


def test_without_npm_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=f"there is no npm: install Node.js, or set {FOLDER_VARIABLE} to the folder"):
        runtime_files()


def test_what_npm_says_is_part_of_the_error(tmp_path, monkeypatch):
    fake_npm(tmp_path, "echo npm error network is down >&2; exit 7", monkeypatch)
    with pytest.raises(
        UserError, match=r"npm cannot download onnxruntime-web .* \(npm error network is down\): set PEE"
    ):
        runtime_files()


def test_another_archive_is_refused_and_nothing_is_kept(tmp_path, monkeypatch):
    fake_npm(tmp_path, "echo something else > onnxruntime-web.tgz", monkeypatch)
    with pytest.raises(UserError, match="npm downloaded another onnxruntime-web"):
        runtime_files()
    assert [file for _, _, found in os.walk(tmp_path / "cache") for file in found] == []
