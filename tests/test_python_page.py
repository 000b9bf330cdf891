"""The code of docs/python.md runs, and its loop trains as the trainer does."""

from copy import deepcopy
from types import SimpleNamespace

import torch
from lightning_fabric import Fabric

from peerdistill.training import Checkpoints, MetricsFile, ScheduleConfig, Trainer, TrainingConfig
from peerdistill.training.config import OptimizerConfig
from support.pages import blocks
from support.photos import write_noise, write_photos

CALLS, IN_MEMORY, LOOP = blocks("docs/python.md", "python")


def test_one_call_per_step(tmp_path, monkeypatch, capsys):
    write_photos(tmp_path / "photos", 60)
    write_noise(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    short = (
        CALLS.replace("resnet18", "resnet8").replace("image_size=128", "image_size=16").replace("epochs=30", "epochs=1")
    )
    exec(short, {})
    *_, accuracy, prediction = capsys.readouterr().out.splitlines()
    assert 0 <= float(accuracy) <= 100
    assert prediction.split()[:1] == ["photo.jpg"]
    assert prediction.split()[1] in ("cat", "dog")
    assert (tmp_path / "leader.onnx").is_file()


def test_images_in_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(IN_MEMORY, {})
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 100
    assert (tmp_path / "runs" / "arrays" / "images.npz").is_file()


def test_the_loop_runs_as_it_is():
    names: dict = {}
    exec(LOOP, names)
    assert names["leader"](names["images"][:2]).shape == (2, 10)


class OneOrder:
    """The batches of the loop, in the form that the trainer reads."""

    steps_per_epoch = 2

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def epoch(self, epoch, start=0):
        for indices in torch.randperm(32).split(16)[start:]:
            yield SimpleNamespace(
                images=self.images[indices], labels=self.labels[indices], indices=indices, targets=None
            )


def test_the_loop_distils_okddip_as_the_trainer_does(tmp_path):
    loop = LOOP.replace("mcl_okd", "okddip").replace("128", "32").replace("split(32)", "split(16)")
    loop = loop.replace("3, 32, 32)", "3, 8, 8, dtype=torch.float64)").replace(
        "train_labels=labels", "train_labels=labels, ramp=2"
    )
    # Both start with the same weights and draw the same batches.
    at_start = {}
    loop = loop.replace("for epoch in", "begin(cohort, method)\nfor epoch in")

    def begin(cohort, method):
        cohort.double(), method.double()  # or rounding would tell the two apart
        at_start.update(cohort=deepcopy(cohort), method=deepcopy(method))
        torch.manual_seed(1)

    torch.manual_seed(0)
    names: dict = {"begin": begin}
    exec(loop, names)

    constant = ScheduleConfig(name="constant")
    trainer = Trainer(
        at_start["cohort"],
        at_start["method"],
        OneOrder(names["images"], names["labels"]),
        evaluator=None,
        config=TrainingConfig(2, 16, 0.05, optimizer=OptimizerConfig("sgd", 0.9, False, 0.0), schedule=constant),
        fabric=Fabric(accelerator="cpu", devices=1),
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        metrics=MetricsFile(tmp_path / "metrics.jsonl"),
    )
    torch.manual_seed(1)
    trainer.fit()
    for module, other in ((trainer.cohort, names["cohort"]), (trainer.method, names["method"])):
        torch.testing.assert_close(module.state_dict(), other.state_dict())
    assert names["loss"].parts["attention"].item() > 0
