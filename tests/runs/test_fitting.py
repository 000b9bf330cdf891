"""A batch size that nobody chose fits small data."""

import pytest

import peerdistill
from peerdistill.config import Config, parse, read_config
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.runs import Run
from peerdistill.runs.fitting import with_batches_of, with_fitting_batches
from support.console import silent_console
from support.digits import write_digits

SMALL = {"backbone": "resnet8", "peers": 2, "epochs": 2, "crop_padding": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Twelve digits of two classes, nine of which are for training."""
    return f"npz:{write_digits(tmp_path_factory.mktemp('small') / 'digits.npz', classes=2, samples=12)}"


def batch_size(*words: str) -> int:
    config, _ = parse(["digits", *words])
    return with_fitting_batches(config, 9).training.batch_size


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
def test_only_a_batch_size_that_nobody_chose_is_reduced(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("batch_size: 20\n")
    assert batch_size() == 9
    assert batch_size("--epochs", "3") == 9
    assert batch_size("--batch_size", "64") == 64
    assert batch_size("--batch_size=20") == 20
    assert batch_size("--config", str(file)) == 20
    assert with_fitting_batches(Config.from_dict({"data": "digits"}), 9).training.batch_size == 9
    assert with_fitting_batches(Config.from_dict({"data": "digits", "batch_size": 64}), 9).training.batch_size == 64


def test_a_batch_size_that_fits_is_kept(recwarn):
    config = Config.from_dict({"data": "digits"})
    assert with_fitting_batches(config, 64) is config
    assert not recwarn


def test_a_resumed_run_keeps_its_batch_size():
    started = Config.from_dict({"data": "digits", "batch_size": 9})
    assert with_batches_of(Config.from_dict({"data": "digits"}), started) == started
    other = Config.from_dict({"data": "digits", "batch_size": 8})
    assert with_batches_of(other, started) is other


def test_a_run_on_small_data_is_recorded_and_resumed_with_its_batch_size(data, tmp_path):
    path = tmp_path / "run"
    with pytest.warns(PeerdistillWarning, match="^batch_size is 9 instead of 64: there are only 9 training images$"):
        run = peerdistill.train(data, run=path, **SMALL)
    assert read_config(run.config_file).training.batch_size == 9
    again = peerdistill.train(data, run=path, resume=True, **SMALL)
    assert again.config == run.config


def test_a_chosen_batch_size_that_is_too_large_is_an_error(data, tmp_path):
    config, _ = parse([data, "--batch_size", "64", "--backbone", "resnet8"])
    with pytest.raises(UserError, match="batch_size must be from 1 to 9, the number of training images, found 64"):
        peerdistill.runs.train(config, tmp_path / "run", console=silent_console())
    assert not Run(tmp_path / "run").path.exists()
