"""Every example runs on small data, and what it gives agrees with the package."""

import json
import runpy
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from peerdistill.deploy import predict
from support.digits import digit_images
from support.pages import ROOT

EXAMPLES = ROOT / "examples"
GUESSING = 0.1  # accuracy on ten digits


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py")))


def test_the_list_names_every_example():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = [file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb")]
    assert len(files) == 6
    assert all(f"]({name})" in listed for name in files)


def test_own_loop(capsys):
    assert load("own_loop").main(epochs=1) > 3 * GUESSING
    assert "contrast" in capsys.readouterr().out


def test_with_lightning():
    assert load("with_lightning").main(epochs=2) > 3 * GUESSING


def test_own_dataset(folder):
    run = load("own_dataset").main(epochs=1)
    assert run.path == Path("runs/bars")
    assert list(run.evaluate()["leader"]["per_class"]) == ["horizontal", "vertical", "falling", "rising"]


def test_few_shot():
    assert load("few_shot").main(episodes=30) > 0.4  # of three classes


def test_export_and_serve(folder):
    example = load("export_and_serve")
    example.export("leader.onnx", "run", epochs=1)
    Image.fromarray(digit_images(samples=1)[0][0]).resize((50, 30)).save("digit.png")
    served = example.server(example.Leader("leader.onnx"), port=0)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{served.server_port}"
        with urllib.request.urlopen(address, data=Path("digit.png").read_bytes()) as reply:
            answer = json.load(reply)
        with pytest.raises(urllib.error.HTTPError, match="415"):
            urllib.request.urlopen(address, data=b"not a picture")
    finally:
        served.shutdown()
        thread.join()
        served.server_close()
    (expected,) = predict("leader.onnx", ["digit.png"], top=10)
    assert answer == pytest.approx(dict(zip(expected.classes, expected.probabilities, strict=True)), abs=1e-5)


def test_the_server_needs_neither_pytorch_nor_peerdistill():
    code = "import sys; import export_and_serve; print({'torch', 'peerdistill'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_notebook(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads((EXAMPLES / "explore.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("epochs=20", "epochs=1"), names)
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", [])) == 2
    scores = names["run"].evaluate()["leader"]
    assert scores["top1"] == pytest.approx(100 * (names["found"].leader.predicted == names["found"].labels).mean())
