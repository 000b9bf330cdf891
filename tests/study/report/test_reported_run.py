import shutil
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.study.report.reported_run import read_runs
from peerdistill.study.run_names import distinguished

PARTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@given(st.lists(PARTS, min_size=1, max_size=5))
def test_names_are_the_shortest_ends_that_distinguish(parts):
    paths = [Path("/", *of) for of in parts]
    assume(len(set(paths)) == len(paths))
    names = distinguished(paths)
    for path, name in zip(paths, names, strict=True):
        found = Path(name).parts
        others = [other.parts for other in paths if other != path]
        assert path.parts[-len(found) :] == found
        assert found == path.parts or all(other[-len(found) :] != found for other in others)
        assert len(found) == 1 or any(other[-len(found) + 1 :] == found[1:] for other in others)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("result.json", "{", "result.json cannot be read"),
        ("result.json", "[]", "holds no JSON object"),
        ("result.json", "{}", "'last' is missing"),
        ("metrics.jsonl", "{", "metrics.jsonl cannot be read"),
        ("environment.json", "\x00", "environment.json cannot be read"),
    ],
)
def test_damaged_files_are_named(hostile, tmp_path, file, content, sentence):
    shutil.copytree(hostile.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "run" / file).write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_runs([Run(tmp_path / "run")])


def test_an_unknown_split_names_the_known_ones(episodes_run, tmp_path):
    shutil.copytree(episodes_run.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "run" / "result.json").write_text('{"last": {"epoch": 1, "test": {}}, "best": null}')
    with pytest.raises(UserError, match="has no val split: choose --split test"):
        read_runs([Run(tmp_path / "run")], split="val")
    with pytest.raises(UserError, match="no checkpoint of the best epoch"):
        read_runs([Run(tmp_path / "run")], which="best")
