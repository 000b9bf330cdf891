"""User data on the command line."""

import json
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

MODULE = """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits
    from torch.utils.data import Dataset

    def arrays():
        pixels, labels = load_digits(n_class=3, return_X_y=True)
        return (pixels[:90].reshape(-1, 8, 8) * 15).astype(np.uint8), labels[:90], ["zero", "one", "two"]

    class Pictures(Dataset):
        classes = ["a", "b", "c", "d", "e"]

        def __len__(self):
            return 100

        def __getitem__(self, index):
            pixels = np.random.default_rng(index).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            return Image.fromarray(pixels), index % 5

    def nothing(): ...
"""
QUICK = ("--peers=2", "--backbone=resnet8", "--epochs=1", "--batch_size=16", "--method=dml")
EPISODES = (
    *("--method=baseline", "--peers=1", "--sharing=network", "--backbone=resnet8", "--ways=2", "--queries=2"),
    *("--episodes=1", "--episodes_per_epoch=1", "--test.ways=2", "--test.episodes=2", "--image_size=16"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "mydata.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mydata", None)


def done(outcome):
    assert outcome.code == 0, outcome.stderr
    return outcome


def test_arrays_from_training_to_prediction(folder, peerdistill):
    done(peerdistill("train", "mydata:arrays", *QUICK))
    run = "runs/arrays-dml-resnet8"
    trained = json.loads(Path(run, "result.json").read_text())["last"]["test"]
    done(peerdistill("train", "--resume", "--run", run))
    found = json.loads(done(peerdistill("evaluate", run, "--json")).stdout)
    assert found["leader"]["top1"] == trained["leader"]["top1"]
    done(peerdistill("export", run, "--format", "safetensors", "--output", "leader.safetensors"))
    Image.new("L", (8, 8)).save("black.png")
    assert "zero" in done(peerdistill("predict", "leader.safetensors", "black.png", "--top", "3")).stdout
    (folder / "mydata.py").write_text(textwrap.dedent(MODULE).replace("* 15", "* 14"))
    sys.modules.pop("mydata")
    changed = peerdistill("train", "--resume", "--run", run)
    assert "the training images have changed since the run was started" in changed.stderr


def test_few_shot_episodes_of_a_pytorch_data_set(folder, peerdistill):
    done(peerdistill("fewshot", "mydata:Pictures", *EPISODES))
    assert Path("runs/Pictures-baseline-resnet8/result.json").is_file()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("mydata:nothing", r"data mydata:nothing must be (images, labels)"),
        ("mydata:nobody", "data mydata:nobody: mydata has no function 'nobody'"),
        ("elsewhere:arrays", "data elsewhere:arrays: "),
    ],
)
def test_an_error_is_one_sentence(folder, peerdistill, data, sentence):
    outcome = peerdistill("train", data, *QUICK)
    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert sentence in outcome.stderr
