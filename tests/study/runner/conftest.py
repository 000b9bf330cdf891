import pytest

from support.command_line import run
from support.options import option_words


@pytest.fixture(autouse=True, scope="session")
def _imported(tmp_path_factory) -> None:
    """Train once in this process: forked trainings then need not import anything."""
    options = {"backbone": "resnet8", "epochs": 1, "method": "baseline", "peers": 1, "loggers": "[]"}
    small = {"subset.classes": 3, "subset.per_class": 20, "batch_size": 20}
    folder = tmp_path_factory.mktemp("imported") / "run"
    assert run("train", "digits", f"--run={folder}", *option_words({**options, **small})).code == 0
