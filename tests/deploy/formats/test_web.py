"""The folder for browsers; what its page does is tested in tests/deploy/web."""

import json
from pathlib import Path

import pytest

from peerdistill.deploy import export, predict, predict_with
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import torch_scorer
from peerdistill.errors import UserError

pytestmark = pytest.mark.usefixtures("with_runtime")


@pytest.fixture(scope="module")
def folder(resnet, card, digits, tmp_path_factory, with_runtime) -> Path:
    return export(resnet, card, tmp_path_factory.mktemp("web") / "site", format="web", pictures=digits).path


def test_predict_reads_the_folder(folder, digit_files, resnet, card):
    network = torch_scorer(Normalised(resnet, card.mean, card.std))
    found, expected = predict(folder, digit_files), predict_with(network, card, digit_files)
    assert [one.classes for one in found] == [one.classes for one in expected]
    assert found[0].probabilities == pytest.approx(expected[0].probabilities, abs=1e-5)


def test_the_card_of_the_page_is_that_of_the_leader(folder, card):
    found = json.loads((folder / "leader-card.json").read_text())
    assert found["class_names"] == list(card.class_names)
    assert (found["image_size"], found["channels"], found["crop"]) == (card.image_size, card.channels, card.crop)


def test_force_replaces_such_a_folder_and_no_other(folder, tiny, card, digits, tmp_path):
    def write(output: Path, force: bool) -> None:
        export(tiny, card, output, format="web", pictures=digits[:2], force=force)

    with pytest.raises(UserError, match="site exists: choose another name, or replace it with --force"):
        write(folder, force=False)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").touch()
    with pytest.raises(UserError, match="hub is a folder with other content"):
        write(tmp_path / "hub", force=True)
    (tmp_path / "site").mkdir()
    for name in ("leader-card.json", "old"):
        (tmp_path / "site" / name).touch()
    write(tmp_path / "site", force=True)
    assert {file.name for file in (tmp_path / "site").iterdir()} == {file.name for file in folder.iterdir()}
