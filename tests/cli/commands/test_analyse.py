import json
from pathlib import Path

import matplotlib.image
import pytest


@pytest.fixture(scope="module")
def single(home) -> str:
    return str(home / "runs/digits")


def test_runs_stand_side_by_side(peers, single, peerdistill):
    before = sorted(peers[0].rglob("*"))
    outcome = peerdistill("analyse", single, peers[0], "--only", "similarity,diversity")
    assert outcome.code == 0, outcome.stderr
    assert sorted(peers[0].rglob("*")) == before  # nothing is written into a run
    text = outcome.stdout
    assert text.index("digits") < text.index("peers")
    (line,) = [line for line in text.splitlines() if "intra-class similarity" in line]
    values = [float(word) for word in line.replace("│", " ").split() if word[0].isdigit() or word[0] == "-"]
    words = ("--only", "similarity,diversity", "--json")
    found = json.loads(peerdistill("analyse", single, peers[0], *words).stdout)["runs"]
    expected = [result["similarity"]["figures"]["intra-class similarity"] for result in found.values()]
    assert values == pytest.approx(expected, abs=1e-4)
    assert f"diversity: {single}: the run has one peer" in text


def test_two_runs_are_compared(peers, single, peerdistill):
    text = peerdistill("analyse", single, peers[0], "--only=hardest").stdout
    assert f"first: {single}\nsecond: {peers[0]}\n" in text
    assert "only second right (%)" in text.partition("first: ")[2]


def test_one_run_has_a_column_for_each_network(peers, peerdistill):
    text = peerdistill("analyse", peers[0], "--only=calibration", "--checkpoint=best", "--split=val").stdout
    header = next(line for line in text.splitlines() if "leader" in line)
    assert header.replace("┃", " ").split() == ["peer:0", "leader", "ensemble"]


def test_numbers_and_pictures_are_written(peers, tmp_path, peerdistill):
    folder = tmp_path / "new" / "folder"
    outcome = peerdistill("analyse", peers[0], "--only=similarity", "--what=peer:0", "--csv", folder, "--png", folder)
    assert outcome.stdout.endswith(f"wrote {folder}/similarity.csv\nwrote {folder}/similarity.png\n")
    assert matplotlib.image.imread(folder / "similarity.png").ndim == 3
    assert (folder / "similarity.csv").read_text().startswith("run,network,figure,value\n")


def test_pictures_in_folders_without_a_test_split(at_home, peerdistill):
    outcome = peerdistill("analyse", "runs/divided", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "has no test split: evaluated on validation images" in outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["splits"] == {"runs/divided": "val"}
    images = found["runs"]["runs/divided"]["hardest"]["hardest"]
    assert {Path(one["image"]).parent.name for one in images} == {"cat", "dog"}
    assert all(Path(one["image"]).parent.name == one["true"] for one in images)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/digits", "--only", "similarity,divers"), "did you mean diversity"),
        (("runs/digits", "runs/none"), "no run folder runs/none"),
        (("runs/digits", "--what", "ensemble"), "the run has one peer"),
        (("runs/digits", "--csv", "notes.txt"), "--csv must name a folder, and notes.txt is a file"),
        (("runs/digits", "--only", "nothing:ANALYSIS"), "no module nothing"),
        ((), "RUN"),
    ],
)
def test_wrong_options_are_one_sentence(at_home, peerdistill, words, message):
    outcome = peerdistill("analyse", *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
