"""For every test: the shared real data, and shape checks on every public signature."""

import gc
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import docstring_parser
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Set before PyTorch is imported, also for subprocesses: the networks of the tests are too small for several threads,
# and threads that wait in spin loops slow down a busy machine many times.
os.environ["OMP_NUM_THREADS"] = "1"


def modules_with_shapes() -> list[str]:
    """Return the modules of the package that name jaxtyping's shapes."""
    sources = Path(__file__).parents[1] / "src"
    files = (sources / "peerdistill").rglob("*.py")
    shaped = (file.relative_to(sources) for file in files if "jaxtyping" in file.read_text(encoding="utf-8"))
    return [".".join(file.with_suffix("").parts) for file in shaped]


# Installed before the package is imported: beartype checks each signature of these modules at call time. Pyright checks
# the others, which have plain types: to bind the arguments of each call takes longer than many of their functions.
install_import_hook(modules_with_shapes(), "beartype.beartype")

# Deadlines and slow draws say how busy a machine is, not whether a test is right.
settings.register_profile("tests", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

pytest_plugins = ["support.browser", "support.onnxruntime_web"]

SHARED_DATA = Path(os.environ.get("PEERDISTILL_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Collecting the tests makes millions of objects that stay. Garbage collection would walk through them again and again.
gc.disable()


# A full run parses thousands of command lines and exports a hundred graphs. For each of them, libraries read the source
# code of all options, or of all ONNX operators, again.
docstring_parser.parse_from_object = cache(docstring_parser.parse_from_object)
MANY_TESTS = 500


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect garbage from now on, but leave out what is there already."""
    if len(session.items) >= MANY_TESTS:
        read_onnx_operators_once()
    gc.freeze()
    gc.enable()


def read_onnx_operators_once() -> None:
    """Let all exports of this process share PyTorch's registry of ONNX operators, which exports only read."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real image data, or skip the test if there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA} (set PEERDISTILL_DATA to the folder that holds it)")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _default_signals() -> Iterator[None]:
    """Handle signals as usual: background jobs start with SIGINT or SIGHUP ignored, and training respects that."""
    usual = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache_folder(tmp_path_factory) -> Iterator[None]:
    """Use an empty cache folder instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
