"""The demonstration from its command to its files, with a shorter schedule."""

import io
import json
from pathlib import Path

import onnxruntime
from rich.console import Console

from peerdistill.study import demo


def test_demo_trains_compares_exports_and_predicts(tmp_path: Path, monkeypatch):
    short = ("--epochs", "2", "--batch_size", "128", "--contrast.count", "64")
    monkeypatch.setattr(demo, "_SINGLE", (*demo._SINGLE, *short[:4]))
    monkeypatch.setattr(demo, "_PEERS", (*demo._PEERS, *short))
    said = io.StringIO()
    demo.run_demo(tmp_path / "demo", Console(file=said, width=120))

    folder = tmp_path / "demo"
    for name in ("single", "mcl-okd"):
        result = json.loads((folder / name / "result.json").read_text())
        assert f"{result['last']['test']['leader']['top1']:.2f} %" in said.getvalue()
    session = onnxruntime.InferenceSession(folder / "leader.onnx")
    assert session.get_inputs()[0].shape[1:] == [1, 8, 8]
    assert len(list((folder / "pictures").glob("*.png"))) == 40
    assert (folder / "curves.png").stat().st_size > 10_000
    assert (folder / "predictions.png").stat().st_size > 10_000
