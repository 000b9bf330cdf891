import pytest

from peerdistill.cli import tables
from support.console import printed, silent_console


def shown(table) -> str:
    console = silent_console(width=160)
    console.print(table)
    return " ".join(printed(console).split())


def split(leader: float, peers: int = 2) -> dict:
    predictor = {"top1": leader}
    others = [{"top1": 11.111}] * (peers - 1)
    return {"samples": 50, "peers": [*others, predictor], "leader": predictor, "ensemble": {"top1": 77.777}}


def test_a_result_shows_the_test_split_of_both_epochs():
    last = {"epoch": 9, "val": split(1.0), "test": split(22.222)}
    best = {"epoch": 4, "val": split(2.0), "test": split(33.333)}
    text = shown(tables.result({"last": last, "best": best}))
    for words in ("top-1 accuracy on test images", "last epoch (9)", "best epoch on validation (4)"):
        assert words in text
    assert "peer 0 │ 11.11 % │ 11.11 %" in text
    assert "leader │ 22.22 % │ 33.33 %" in text
    assert "ensemble │ 77.78 % │ 77.78 %" in text


def test_without_a_test_split_a_result_shows_validation():
    text = shown(tables.result({"last": {"epoch": 9, "val": split(22.222)}, "best": None}))
    assert "top-1 accuracy on validation images" in text
    assert "best" not in text


def test_a_result_without_evaluation_sets():
    assert "the data has no images to evaluate on" in shown(tables.result({"last": {"epoch": 9}, "best": None}))


def test_one_peer_has_no_ensemble():
    text = shown(tables.result({"last": {"epoch": 9, "test": split(22.222, peers=1)}, "best": None}))
    assert "leader" in text
    assert "ensemble" not in text
    assert "peer 0" not in text


def test_the_name_of_a_run_folder_is_printed_literally():
    form = {"bytes": 1000, "accuracy": None, "milliseconds": {"1": 2.0}}
    names = ("processor", "cores", "threads", "load_average", "int8_instructions")
    bench = {
        "run": "runs/a[/b] [bold]c",
        "checkpoint": "last",
        "epoch": 3,
        "repeats": 1,
        "machine": {**dict.fromkeys(names, "[/x]"), "int8_instructions": [], "packages": {}},
        "evaluated": None,
        "networks": {"leader": dict.fromkeys(("pytorch", "onnx", "int8"), form)},
    }
    assert "runs/a[/b] [bold]c, last epoch (3)" in shown(tables.bench(bench))


@pytest.mark.parametrize(("name", "shown_as_well"), [("mcl-okd", True), ("crd", False), ("crd+kd", False)])
def test_a_method_shows_only_options_that_it_uses(name, shown_as_well):
    text = shown(tables.method(name))
    assert "--contrast.count" in text
    assert ("--contrast.normaliser" in text) is ("--contrast.views" in text) is shown_as_well


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one", "late, after layer2 of a ResNet, layer3 of a VGG"),
        ("baseline", "early, after layer1 of a ResNet, layer2 of a VGG"),
        ("crd", "branches start -"),
    ],
)
def test_a_method_shows_where_its_branches_start(name, said):
    assert said in " ".join(shown(tables.method(name)).split())
