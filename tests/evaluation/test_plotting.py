from types import SimpleNamespace

import matplotlib
import pytest
from matplotlib import font_manager

from peerdistill.evaluation.plotting import font_families, style


@pytest.mark.parametrize("name", ["Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC"])
def test_characters_that_the_first_font_lacks_are_taken_from_an_installed_one(monkeypatch, name):
    """Names of classes may be Chinese; matplotlib's own font would draw boxes."""
    own = font_manager.fontManager.ttflist
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*own, SimpleNamespace(name=name)])
    assert font_families() == ["DejaVu Sans", name]
    with style():
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", name]


def test_fonts_that_are_not_installed_are_not_asked_for():
    """matplotlib would log a warning for each text."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    assert set(font_families()) <= installed
