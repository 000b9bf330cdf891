import csv
import json

import matplotlib.image
import pytest

from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.study.analyses import Analysis, analyse, analyse_runs, discover, find, hardest
from peerdistill.study.analyses.base.run_analyses import RunAnalyses


@pytest.fixture(scope="module")
def everything(trained_runs):
    """All analyses of the three runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardest, "MOST_IMAGES", 2)  # pictures take time to draw
        return analyse_runs([Run(trained_runs / name) for name in ("single", "peers", "episodes")])


def test_all_results_are_json_with_figures_or_a_reason(everything):
    results = json.loads(json.dumps(everything.as_dict(), allow_nan=False))["runs"]
    for path, found in results.items():
        assert list(found) == list(discover())
        for name, result in found.items():
            assert ("figures" in result) != ("does_not_apply" in result), (path, name)
            assert len(json.dumps(result)) < 200_000
    few_shot = next(found for path, found in results.items() if path.endswith("episodes"))
    reasons = {name: result["does_not_apply"] for name, result in few_shot.items() if "does_not_apply" in result}
    assert set(reasons) == {"calibration", "hardest", "probe"}
    assert all(
        reason.startswith(("a few-shot run", "the test classes of a few-shot run")) for reason in reasons.values()
    )


def test_further_runs_are_compared_with_the_first(trained_runs, everything):
    assert list(everything.compared) == [str(trained_runs / "peers"), str(trained_runs / "episodes")]
    assert "only second right" in everything.compared[str(trained_runs / "peers")]["hardest"]
    assert "few-shot" in everything.compared[str(trained_runs / "episodes")]["hardest"]["does_not_apply"]


def test_one_run_has_the_same_results(trained_runs, everything):
    found = analyse(Run(trained_runs / "peers"), ["similarity", "diversity"], "last", "test")
    expected = everything.results[str(trained_runs / "peers")]
    assert list(found) == ["similarity", "diversity"]
    for name, result in found.items():
        assert result["figures"] == pytest.approx(expected[name]["figures"], rel=1e-6)


def test_numbers_are_written_as_lines_and_pictures_as_png(tmp_path, trained_runs, everything):
    files = everything.write_csv(tmp_path)
    assert {file.stem for file in files} == set(discover())
    with (tmp_path / "similarity.csv").open() as opened:
        lines = list(csv.DictReader(opened))
    leader = everything.results[str(trained_runs / "peers")]["similarity"]["networks"]["peer:0"]
    (line,) = [
        line
        for line in lines
        if line["run"].endswith("peers") and line["network"] == "peer:0" and line["figure"].startswith("intra-class s")
    ]
    assert float(line["value"]) == leader["intra-class similarity"]
    pictures = everything.draw(tmp_path)
    drawn = {name for name, analysis in discover().items() if analysis.draw is not None}
    assert {picture.name for picture in pictures} == {f"{name}.png" for name in drawn} | {"hardest_peers.png"}
    for picture in pictures:
        pixels = matplotlib.image.imread(picture)
        assert min(pixels.shape[:2]) > 200
        assert pixels.std() > 0.01  # something is drawn


def test_pictures_of_runs_with_equal_folder_names_stay_apart(tmp_path, everything):
    of_run = {"hardest": next(found for path, found in everything.results.items() if path.endswith("peers"))["hardest"]}
    compared = {"hardest": next(iter(everything.compared.values()))["hardest"]}
    others = {"b/run": compared, "c/run": compared}
    runs = RunAnalyses("last", "leader", {}, {"a/run": of_run, "b/run": of_run, "c/run": of_run}, others)
    assert {file.name for file in runs.draw(tmp_path)} == {"hardest.png", "hardest_b-run.png", "hardest_c-run.png"}


def test_unknown_analyses_and_runs_named_twice_are_errors(trained_runs):
    run = Run(trained_runs / "single")
    with pytest.raises(UserError, match="did you mean similarity"):
        analyse(run, ["similarities"])
    with pytest.raises(UserError, match="named twice"):
        analyse_runs([run, Run(trained_runs / "single")], ["similarity"])
    with pytest.raises(UserError, match=r"must be a peerdistill.study.analyses.Analysis, found a function"):
        find("json:loads")


def test_every_analysis_says_what_it_is():
    for name, analysis in discover().items():
        assert isinstance(analysis, Analysis)
        assert analysis.name == name
        assert analysis.help
