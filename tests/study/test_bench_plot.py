"""The plot of a bench, read back from the figure that is drawn."""

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from peerdistill.errors import UserError
from peerdistill.study.bench_plot import plot_bench


def form(megabytes: float, top1: float, one: float, many: float) -> dict:
    return {"bytes": round(megabytes * 1e6), "accuracy": {"top1": top1}, "milliseconds": {"1": one, "64": many}}


def values(**networks) -> dict:
    return {
        "run": "runs/a",
        "checkpoint": "last",
        "epoch": 3,
        "machine": {"threads": 1},
        "evaluated": {"split": "val", "samples": 1234},
        "networks": networks,
    }


LEADER = {"pytorch": form(1.1, 92.0, 8.0, 64.0), "int8": form(0.4, 91.0, 0.5, 6.4)}
ENSEMBLE = {"pt2": form(4.1, 94.0, 20.0, 640.0)}


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Return a function that plots and returns the figure."""
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **how: (drawn.append(self), save(self, *args, **how))[1])

    def plot(found: dict) -> Figure:
        plot_bench(found, tmp_path / "bench.png")
        assert matplotlib.image.imread(tmp_path / "bench.png").shape[0] > 300
        return drawn[-1]

    return plot


def points(axes) -> set[tuple[float, float]]:
    return {tuple(map(float, line.get_xydata()[0])) for line in axes.lines if line.get_marker() not in ("None", None)}


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_form_is_a_point_in_every_plot(draw):
    figure = draw(values(leader=LEADER, ensemble=ENSEMBLE))
    one, many, size = figure.axes
    assert points(one) == {(8.0, 92.0), (0.5, 91.0), (20.0, 94.0)}
    assert points(many) == {(1.0, 92.0), (0.1, 91.0), (10.0, 94.0)}  # per image
    assert points(size) == {(1.1, 92.0), (0.4, 91.0), (4.1, 94.0)}
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "time of one image, ms",
        "time per image in a batch of 64, ms",
        "size of the file, MB",
    ]
    assert one.get_ylabel() == "top-1 accuracy, %"
    assert {"leader", "ensemble", "PyTorch", "ONNX int8"} <= set(labels(figure))
    assert "1,234 validation images" in figure.get_suptitle()


def test_a_failed_network_is_named_and_does_not_compress_the_axis(draw):
    failed = {"pytorch": form(1.1, 43.5, 8.0, 64.0)}
    half = {"pytorch": form(1.1, 93.0, 8.0, 64.0), "int8": form(1.1, 60.0, 8.0, 64.0)}
    figure = draw(values(leader=LEADER, average=failed, ema=half))
    assert min(y for _, y in points(figure.axes[0])) == 91.0
    assert figure.axes[0].get_ylim()[0] > 85
    assert "average of the peers\n(43.5 %, not drawn)" in labels(figure)
    assert "EMA of the leader\n(ONNX int8 60.0 %, not drawn)" in labels(figure)


def test_equal_accuracies_have_an_axis(draw):
    low, high = draw(values(leader={"pytorch": form(1.0, 100.0, 1.0, 1.0)})).axes[0].get_ylim()
    assert high - low >= 2


def test_without_accuracies_there_is_no_picture(tmp_path):
    with pytest.raises(UserError, match="no images to evaluate on"):
        plot_bench({**values(leader=LEADER), "evaluated": None}, tmp_path / "bench.png")
    assert not list(tmp_path.iterdir())
