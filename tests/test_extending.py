"""The code of docs/extending.md runs: as a whole, as files outside the package, and as files added to its folders."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from peerdistill import methods, terms
from peerdistill.backbones.adapters.splitting import split
from peerdistill.cli import commands
from peerdistill.data import DataConfig
from peerdistill.evaluation import METRICS
from peerdistill.methods import catalog
from peerdistill.study import analyses
from peerdistill.terms import Batch
from support.command_line import run
from support.pages import blocks

BLOCKS = blocks("docs/extending.md", "python")
QUICK = ("--peers=2", "--epochs=1", "--batch_size=64")


def file_of(block: str) -> str | None:
    """Return the file that the first line of a block names."""
    named = re.match(r"# (\w+\.py)\n", block)
    return named[1] if named else None


def block_with(text: str) -> str:
    (found,) = [block for block in BLOCKS if text in block]
    return found


@pytest.fixture(autouse=True)
def metrics_of_the_package():
    """Remove metrics that a test registers."""
    known = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(known)


@pytest.fixture
def user_files(tmp_path, monkeypatch):
    """The files of the page in the current folder, which is outside the package."""
    names = {file_of(block) for block in BLOCKS} - {None}
    for name in names:
        (tmp_path / name).write_text("\n".join(block for block in BLOCKS if file_of(block) == name))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in names:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.fixture
def added_to(tmp_path, monkeypatch):
    """Return a function that adds a file to a package: it lies in a temporary folder on the package's path."""
    added = []

    def add(package, name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        added.append((package, name))

    yield add
    for package, name in added:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)


def succeed(*words) -> str:
    outcome = run(*words)
    assert outcome.code == 0, outcome.stderr
    return outcome.stdout


def test_the_blocks_run_in_order_and_do_what_they_say():
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    # The term by hand: cosine similarities of all pairs of different peers.
    features = names["torch"].tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 0.0]]])
    out = names["CohortOutput"](features, features, features[0], features[0])
    labels = names["torch"].zeros(1, dtype=int)
    assert names["Alikeness"]()(out, Batch(labels, labels)).item() == pytest.approx(2 / 6)
    assert names["CARD"].build is names["apart"]
    assert list(names["loss"].parts) == ["cross_entropy", "ensemble", "alike"]
    stem = names["cohort"].networks[0][0]
    assert all(network[0] is stem for network in names["cohort"].networks)
    data = names["SOURCE"].load(names["LoadRequest"](DataConfig("squares")))
    assert (data.name, data.class_names, data.image_size) == ("squares", ("top", "upper", "lower", "bottom"), 16)
    assert names["LOGGER"].open is names["Notes"]
    found = split("mynets:tiny", lambda: names["tiny"](10), None, (3, 32, 32))
    assert [stage.name for stage in found.stages] == ["0", "1", "2"]


def test_everything_outside_the_package_from_training_to_prediction(user_files, added_to):
    words = (
        "--backbone",
        "mynets:tiny",
        "--method",
        "mymethods:apart",
        "--alike",
        "0.2",
        "--run",
        "run",
        "--loggers",
        "[mylogs:Notes]",
    )
    succeed("train", "myimages:squares", *words, *QUICK)
    assert "alike: 0.2\n" in (user_files / "run/config.yaml").read_text()
    logged = [json.loads(line) for line in (user_files / "run/metrics.jsonl").read_text().splitlines()]
    assert "alike" in json.dumps(logged)
    assert (user_files / "run/notes.txt").read_text() == f"epoch 1: loss {logged[0]['loss']['total']:.3f}\n"
    scores = json.loads(succeed("evaluate", "run", "--json"))["leader"]
    assert 0 <= scores["certain"] <= 100
    measured = json.loads((user_files / "run/result.json").read_text())["last"]["test"]["leader"]
    assert {name: scores[name] for name in measured} == measured

    succeed("export", "run", "--format", "myformats:GZIP", "--output", "leader.gz")
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4] = 255
    Image.fromarray(pixels).save("top.png")
    expected, found = (
        json.loads(succeed("predict", *model, "top.png", "--top", "4", "--json"))[0]
        for model in (("run",), ("leader.gz", "--format", "myformats:GZIP"))
    )
    assert set(found["classes"]) == {"top", "upper", "lower", "bottom"}
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)

    analysed = json.loads(succeed("analyse", "run", "--only", "myanalyses:DIMENSIONS", "--json"))
    figures = analysed["runs"]["run"]["myanalyses:DIMENSIONS"]["figures"]
    assert 1 <= figures["dimensions"] <= 64  # the width of the features

    added_to(commands, "leader_size", block_with("leader-size"))
    from mynets import tiny  # pyright: ignore[reportMissingImports]

    parameters = sum(parameter.numel() for parameter in tiny(4).parameters())
    assert succeed("leader-size", "run") == f"{parameters}\n"
    assert "leader-size  Print the number of parameters of a run's leader\n" in succeed("--help")


def test_options_of_a_user_method_are_in_the_help(user_files):
    assert methods.find("mymethods:apart").sharings == ("network", "branch")
    assert "--alike 0.1" in succeed("methods", "mymethods:apart")
    assert "Weight of the peers' alikeness." in succeed("train", "digits", "--method", "mymethods:apart", "--help")


def test_a_method_and_its_term_in_one_file_of_the_package(added_to):
    added_to(methods, "apart", "\n".join(block for block in BLOCKS if file_of(block) == "mymethods.py"))
    assert set(catalog.discover()) == {*methods.names(), "apart"}


def test_a_term_is_one_file_of_the_package(added_to):
    added_to(terms, "alikeness", block_with("class Alikeness"))
    assert "Alikeness" in dir(terms)
    assert terms.Alikeness.__module__ == "peerdistill.terms.alikeness"
    del terms.Alikeness


def test_an_analysis_is_one_file_of_the_package(added_to):
    added_to(analyses, "dimensions", block_with("DIMENSIONS").replace("DIMENSIONS =", "ANALYSIS ="))
    assert analyses.discover()["dimensions"].help == "number of directions in which features vary"


def test_every_block_is_at_most_25_lines():
    assert len(BLOCKS) >= 10
    for block in BLOCKS:
        code = [line for line in block.splitlines() if line.strip() and not line.startswith(("import", "from", "#"))]
        assert len(code) <= 25
