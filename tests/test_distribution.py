"""The wheel, built from the source distribution, is complete, and the demonstration runs where only it is installed.

The new environment finds the dependencies in the environment of the tests, so that nothing is downloaded.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def finished(*words: str | Path, cwd: Path) -> str:
    """Run a command and return what it prints."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with source distribution and wheel, built as by ``make dist``."""
    folder = tmp_path_factory.mktemp("dist")
    finished(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs of an environment in which only the wheel is installed."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = built.glob("*.whl")
    options = ("install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    finished(sys.executable, "-m", "pip", "--python", programs / "python", *options, wheel, cwd=place)
    own = finished(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place)
    # Folders in a .pth file come last, and an editable installation in them has no effect.
    Path(own.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_has_every_file_of_the_package(built):
    sources = ROOT / "src"
    expected = {
        file.relative_to(sources).as_posix(): file.read_bytes()
        for file in (sources / "peerdistill").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {Path(name).suffix for name in found} >= {".py", ".pyi", ".typed", ".yaml", ".csv", ".html", ".js", ".css"}


def test_the_source_distribution_has_tests_and_documentation_but_nothing_built(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {Path(*Path(name).parts[1:]) for name in opened.getnames()}
    assert {Path("pyproject.toml"), Path("LICENSE"), Path("README.md"), Path("tests/conftest.py")} <= names
    assert not [name for name in names if {"__pycache__", ".venv", "build", "dist", "runs"} & set(name.parts[:1])]


def test_the_demonstration_runs_from_the_wheel(installed, tmp_path):
    where = finished(installed / "python", "-c", "import peerdistill; print(peerdistill.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    words = ("demo", "--seeds", "1", "--epochs", "1", "--run", "shown")
    assert "pictures right" in finished(installed / "peerdistill", *words, cwd=tmp_path)
    assert {"curves.png", "predictions.png", "leader.onnx"} <= {file.name for file in (tmp_path / "shown").iterdir()}
