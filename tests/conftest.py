"""What every test may use: the shared real data, and shape checks on every public signature."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before PyTorch is imported, and for subprocesses too: the networks of tests are too small for two threads, and threads
# that wait for each other in spin loops make a busy machine many times slower.
os.environ["OMP_NUM_THREADS"] = "1"

# Before the package is imported: from here on beartype checks every jaxtyping signature at call time.
install_import_hook("peerdistill", "beartype.beartype")

SHARED_DATA = Path(os.environ.get("PEERDISTILL_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real image data; tests that need it are skipped, with the reason, where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA} (set PEERDISTILL_DATA to the folder that holds it)")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _own_cache_folder(tmp_path_factory) -> Iterator[None]:
    """Let no test write into the user's cache folder, nor profit from what lies there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
