import json

import matplotlib.image
import pytest

from peerdistill import runs
from peerdistill.cli import tables
from peerdistill.runs import Run
from support.console import printed, silent_console


@pytest.fixture(scope="module")
def bench(peers, peerdistill) -> dict:
    """What the command printed with ``--json``."""
    before = sorted(peers[0].rglob("*"))
    outcome = peerdistill("bench", peers[0], "--checkpoint", "best", "--repeats", "1", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert sorted(peers[0].rglob("*")) == before  # nothing is written into the run
    return json.loads(outcome.stdout)


def test_bench_prints_the_promised_keys(peers, bench):
    assert set(bench) == {"run", "checkpoint", "epoch", "repeats", "machine", "evaluated", "networks"}
    assert (bench["run"], bench["checkpoint"], bench["epoch"], bench["repeats"]) == (str(peers[0]), "best", 1, 1)
    assert {"processor", "cores", "int8_instructions", "threads", "load_average", "packages"} <= set(bench["machine"])
    assert bench["machine"]["threads"] == 1
    assert {what: list(forms) for what, forms in bench["networks"].items()} == {
        "leader": ["pytorch", "onnx", "int8"],
        "ensemble": ["pt2", "onnx", "int8"],
        "average": ["pytorch", "onnx", "int8"],
    }
    for forms in bench["networks"].values():
        for form in forms.values():
            assert set(form) == {"bytes", "accuracy", "milliseconds"}
            assert set(form["milliseconds"]) == {"1", "64"}
            assert all(time > 0 for time in form["milliseconds"].values())


def test_bench_gives_the_accuracies_of_evaluate(peers, bench):
    expected = json.loads(peers[1].stdout)["best"]["test"]
    assert bench["evaluated"] == {"split": "test", "samples": expected["samples"]}
    average = runs.evaluator_of(Run(peers[0])).average("best").as_dict()
    for what, accuracy in {**expected, "average": average}.items():
        for name, form in bench["networks"].get(what, {}).items():
            allowed = 100 * (3 if name == "int8" else 0) / expected["samples"]
            assert form["accuracy"]["top1"] == pytest.approx(accuracy["top1"], abs=allowed + 1e-9)


def test_sizes_are_those_of_the_files(bench):
    sizes = {what: {name: form["bytes"] for name, form in forms.items()} for what, forms in bench["networks"].items()}
    assert sizes["leader"]["int8"] < 0.4 * sizes["leader"]["onnx"]
    assert sizes["average"]["onnx"] == pytest.approx(sizes["leader"]["onnx"], rel=0.01)
    assert 1.2 * sizes["leader"]["onnx"] < sizes["ensemble"]["onnx"] < 2 * sizes["leader"]["onnx"]  # a shared stem


def test_the_table_shows_every_network_in_every_form(bench):
    console = silent_console(width=200)
    console.print(tables.bench(bench))
    text = " ".join(printed(console).split())
    forms = ("PyTorch eager", "PyTorch (pt2)", "ONNX float32", "ONNX int8")
    for word in (*forms, "batch 1", "batch 64", "test images", "threads", "leader", "ensemble", "average"):
        assert word in text


def test_bench_of_chosen_networks_with_a_picture(at_home, tmp_path, peerdistill):
    picture = tmp_path / "bench.png"
    outcome = peerdistill("bench", "runs/divided", "--what", "peer:0", "--repeats", "1", "--picture", picture)
    assert outcome.code == 0
    assert outcome.stdout.endswith(f"wrote {picture}\n")
    assert "validation images" in " ".join(outcome.stdout.split())  # the data has no test images
    assert "peer:0" in outcome.stdout
    assert "leader" not in outcome.stdout
    assert matplotlib.image.imread(picture).ndim == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--what", "leader,soup"), "network to deploy"),
        (("--what", "ensemble"), "the run has one peer, so it has no ensemble: choose leader"),
        (("--picture", "bench.pdf"), "--picture must name a file that ends in .png, found bench.pdf"),
        (("--picture", "none/bench.png"), "there is no folder none"),
        (("--threads", "0"), "threads"),
    ],
)
def test_bench_refuses(at_home, words, message, peerdistill):
    outcome = peerdistill("bench", "runs/digits", *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
