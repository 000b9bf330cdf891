"""A data source is added by one file."""

import textwrap
from pathlib import Path

import pytest

from peerdistill.config import Config
from peerdistill.data import DataConfig, load_dataset, sources
from peerdistill.data.sources import SOURCES
from peerdistill.fewshot import sources as few_shot_sources

STRIPES = """
    from peerdistill.data.source import Source

    def load(request):
        import numpy as np

        from peerdistill.data.arrays import LabelledImages, array_dataset

        images = np.zeros((40, 8, 8, 1), np.uint8)
        images[1::2, ::2] = 255
        source = LabelledImages(images, np.arange(40) % 2, ("plain", "stripes"))
        return array_dataset("stripes", source, None, request.config.validation)

    SOURCE = Source("stripes", "plain or striped squares", recipe="arrays", load=load)
"""


@pytest.fixture
def stripes(tmp_path: Path, monkeypatch) -> None:
    """A file of a source in a folder outside the package."""
    (tmp_path / "stripes.py").write_text(textwrap.dedent(STRIPES))
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.delitem(vars(SOURCES), "all", raising=False)
    yield
    vars(SOURCES).pop("all", None)


def test_one_file_adds_a_source(stripes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.from_dict({"data": "stripes"})
    assert config.training.epochs == Config.from_dict({"data": "npz:any.npz"}).training.epochs
    data = load_dataset(config.data)
    assert (data.class_names, len(data.train), len(data.test)) == (("plain", "stripes"), 28, 8)
    assert "stripes" in SOURCES.forms
    assert "stripes (plain or striped squares)" in SOURCES.help


@pytest.mark.parametrize("package", [sources, few_shot_sources])
def test_every_source_has_a_recipe_and_a_file(package):
    recipes = Path(str(package.__file__)).parents[2] / "config" / "recipes"
    recipes = recipes / "fewshot" if package is few_shot_sources else recipes
    files = {file.stem for file in Path(str(package.__file__)).parent.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in package.SOURCES.all} == files
    for source in package.SOURCES.all.values():
        assert (recipes / f"{source.recipe}.yaml").is_file()
        assert source.help


def test_options_of_a_source_are_options_of_the_data():
    for source in SOURCES.all.values():
        assert source.options <= set(vars(DataConfig("digits")))
