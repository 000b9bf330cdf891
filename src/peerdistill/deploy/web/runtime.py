"""The files of onnxruntime-web, which run an ONNX graph in a browser with WebAssembly.

npm downloads the package once to the user's cache folder. Every use checks the files against the digests in this file.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

from peerdistill.errors import UserError, reading, shortened
from peerdistill.files import write_whole
from peerdistill.paths import user_path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"

FOLDER_VARIABLE = "PEERDISTILL_ONNXRUNTIME_WEB"
"""Environment variable that names a folder with the files: nothing is then downloaded."""

FILES: Mapping[str, str] = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The needed files of the folder ``dist`` of the package, with their SHA-256."""

# Of the package's archive, as npm states it.
_INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_SECONDS = 600
_HOW_WITHOUT = f"set {FOLDER_VARIABLE} to the folder 'dist' of {PACKAGE} {VERSION} from elsewhere"


def runtime_files() -> dict[str, bytes]:
    """Return the content of `FILES`, by name, after a download if there is none yet.

    Raises:
        UserError: npm is missing or fails, or the files are not those of this version.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return _read(user_path(named, FOLDER_VARIABLE))
    folder = user_cache_path("peerdistill", appauthor=False) / f"{PACKAGE}-{VERSION}"
    if not all((folder / name).is_file() for name in FILES):
        _download(folder)
    return _read(folder)


def _read(folder: Path) -> dict[str, bytes]:
    found = {}
    for name, digest in FILES.items():
        with reading(f"cannot read {folder / name}"):
            found[name] = (folder / name).read_bytes()
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise UserError(f"{folder / name} is not that of {PACKAGE} {VERSION}: remove it, or name another folder")
    return found


def _download(folder: Path) -> None:
    """Let npm fetch the package, check it and keep the needed files."""
    with TemporaryDirectory() as temporary:
        archive = _packed(Path(temporary))
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != _INTEGRITY:
            raise UserError(f"npm downloaded another {PACKAGE} {VERSION} than the expected one: {_HOW_WITHOUT}")
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as members:
            for name in FILES:
                member = members.extractfile(f"package/dist/{name}")
                assert member is not None
                write_whole(folder / name, member.read(), shared=True)


def _packed(folder: Path) -> Path:
    """Return the archive that ``npm pack`` wrote to a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"npm downloads {PACKAGE} {VERSION} (once), and there is no npm: install Node.js, or {_HOW_WITHOUT}"
        )
    words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--loglevel=error", "--fetch-retries=1", "--ignore-scripts"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"npm cannot download {PACKAGE} {VERSION}: {error}") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise UserError(f"npm cannot download {PACKAGE} {VERSION} ({shortened(said, 200)}): {_HOW_WITHOUT}")
    return archives[0]
