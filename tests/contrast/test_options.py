import subprocess
import sys

import pytest

from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError


def test_defaults_are_the_papers():
    options = ContrastOptions()
    assert (options.negatives, options.temperature, options.width, options.momentum) == (16384, 0.1, 128, 0.5)
    assert (options.normaliser, options.views) == ("anchor", "full")
    options.check()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("negatives", 0),
        ("width", 0),
        ("temperature", 0.0),
        ("temperature", -0.1),
        ("momentum", 1.0),
        ("momentum", -0.1),
    ],
)
def test_out_of_range(option, value):
    with pytest.raises(UserError, match=rf"contrast\.{option} must be .*, found {value}"):
        ContrastOptions(**{option: value}).check()


def test_readable_without_pytorch():
    program = "import sys; from peerdistill.contrast import ContrastOptions; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
