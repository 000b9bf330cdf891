import shutil

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peerdistill import runs
from peerdistill.data import Dataset
from peerdistill.errors import UserError
from peerdistill.runs import Run


@pytest.fixture(scope="module")
def average(trained):
    return runs.average_of(trained, runs.restore(trained), runs.load_data(trained))


def normalised(data: Dataset, split: str) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    return (getattr(data, split).images.float() / 255 - mean) / std


def test_the_average_depends_only_on_run_and_checkpoint(trained, average):
    torch.manual_seed(7)
    again = runs.average_of(trained, runs.restore(trained), runs.load_data(trained)).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in average.state_dict().items())


def test_statistics_are_those_of_the_training_images_without_augmentation(trained, average):
    """All training images are one batch here."""
    peers = runs.restore(trained).cohort.networks
    norms = [name for name, module in average.named_modules() if isinstance(module, nn.BatchNorm2d)]
    first = next(name for name in norms if not torch.equal(*(peer.get_submodule(name).running_mean for peer in peers)))
    layer, inputs = average.get_submodule(first), []
    layer.register_forward_pre_hook(lambda _, received: inputs.append(received[0]))
    average(normalised(runs.load_data(trained), "train"))
    assert layer.num_batches_tracked == 1
    torch.testing.assert_close(layer.running_mean, inputs[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(layer.running_var, inputs[0].var((0, 2, 3)), rtol=1e-2, atol=1e-5)


def test_the_evaluator_scores_it(trained, average):
    data = runs.load_data(trained)
    with torch.inference_mode():
        predicted = average(normalised(data, "test")).argmax(1)
    expected = 100 * (predicted == data.test.labels).double().mean().item()
    assert runs.evaluator_of(trained).average().top1 == pytest.approx(expected)
    report = runs.evaluator_of(trained).report(average=True)
    assert report.as_dict()["average"]["top1"] == pytest.approx(expected)


def test_the_training_images_must_be_those_of_the_run(trained, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(trained.path, run.path)
    with np.load(trained.config.data.data.removeprefix("npz:")) as arrays:
        changed = dict(arrays.items())
    changed["images"] = 255 - changed["images"]
    np.savez(tmp_path / "changed.npz", **changed)
    moved = Run(run.path, {"data": f"npz:{tmp_path / 'changed.npz'}"})
    with pytest.raises(UserError, match="the training images have changed since the run was started"):
        runs.average_of(moved, runs.restore(moved), runs.load_data(moved))
    with pytest.raises(UserError, match=r"needs the training images of .*: leave out --data"):
        runs.evaluator_of(moved).average()
