"""onnxruntime-web for tests of exported pages: downloaded once, to the cache folder of pytest."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerdistill.deploy.web.runtime import FILES, FOLDER_VARIABLE, VERSION, runtime_files
from peerdistill.errors import UserError
from peerdistill.files import write_whole


@pytest.fixture(scope="session")
def runtime_folder(request: pytest.FixtureRequest) -> Path:
    """The folder with the files of onnxruntime-web, which npm downloads once to pytest's cache; skip without them."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    assert request.config.cache is not None
    folder = request.config.cache.mkdir(f"onnxruntime-web-{VERSION}")
    if not all((folder / name).is_file() for name in FILES):
        try:
            for name, content in runtime_files().items():
                write_whole(folder / name, content, shared=True)
        except UserError as error:
            pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def with_runtime(runtime_folder: Path) -> Iterator[None]:
    """Let exports take onnxruntime-web from `runtime_folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(runtime_folder))
        yield
