"""Groups, verdicts, curves and the paper's figures, of runs that exist only as their results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from peerdistill.config.config import Config
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.study.analyses import analyse
from peerdistill.study.cost import cost_of_run
from peerdistill.study.cost.units import in_units
from peerdistill.study.paper import published
from peerdistill.study.plan import load_study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.report import write_report
from peerdistill.study.report.content import content_of
from peerdistill.study.report.curves import MOST_POINTS, curves_of
from peerdistill.study.report.reported_run import ReportedRun, read_runs
from peerdistill.study.report.study_results import study_sections
from peerdistill.study.results.intervals import paired_interval


def made(folder: Path, top1: float | None, *, epochs: int = 3, seconds: float = 10.0, **options) -> Run:
    """Write the folder of a run without checkpoints and predictions."""
    options = {"data": "cifar100", "method": "baseline", "peers": 1, "epochs": epochs, "validation": 0.0, **options}
    config = Config.from_dict(options)
    folder.mkdir()
    (folder / "config.yaml").write_text(config.as_yaml())
    lines = [
        {"epoch": epoch, "step": epoch, "lr": 0.1, "loss": {"total": 1 / epoch, "cross_entropy": 1 / epoch}}
        for epoch in range(1, epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps({**line, 'validation': None})}\n" for line in lines))
    if top1 is not None:
        peers = [{"top1": top1, "top5": 90.0}] * config.cohort.peers
        scores = {"samples": 1000, "peers": peers, "leader": peers[-1], "ensemble": peers[-1]}
        result = {"last": {"epoch": epochs, "test": scores}, "best": None, "seconds": seconds, "cpu_seconds": seconds}
        (folder / "result.json").write_text(json.dumps({**result, "parameters": {"leader": 5}}))
    return Run(folder)


def content(*runs: Run, baseline: int | None = None):
    read = read_runs(runs)
    return content_of(read, None if baseline is None else read[baseline])


ALONE, PEERS = (50.0, 51.0, 49.5), (53.0, 53.5, 53.1)


@pytest.fixture
def compared(tmp_path) -> list[Run]:
    """Three seeds of a single network and of four peers."""
    alone = [made(tmp_path / f"alone{seed}", top1, seed=seed) for seed, top1 in enumerate(ALONE)]
    peers = {"method": "mcl-okd", "peers": 4, "seconds": 25.0}
    return [*alone, *(made(tmp_path / f"peers{seed}", top1, seed=seed, **peers) for seed, top1 in enumerate(PEERS))]


def test_a_claim_has_the_paired_t_interval_and_the_cost(compared):
    found = content(*compared)
    interval = stats.ttest_rel(PEERS, ALONE).confidence_interval(0.95)
    assert found.verdict.startswith("The leader of mcl-okd is better than baseline by 3.03 points")
    assert f"{interval.low:.2f} to {interval.high:.2f}, 3 seeds" in found.verdict
    assert found.verdict.endswith("with 2.5 times its training time.")
    assert found.groups.rows[1][:4] == ["mcl-okd", 3, f"{np.mean(PEERS):.2f} %", f"{np.std(PEERS, ddof=1):.2f}"]


def test_the_cost_of_runs_on_an_accelerator_is_their_elapsed_time(compared):
    """The same CPU time and 4 times the elapsed time: the CPU only waits for the accelerator."""
    for run in compared:
        result = json.loads(run.result_file.read_text())
        elapsed = 40.0 if run.config.cohort.peers > 1 else 10.0
        run.result_file.write_text(json.dumps({**result, "cpu_seconds": 7.0, "seconds": elapsed}))
        run.environment_file.write_text(json.dumps({"device": "cuda:0"}))
    assert content(*compared).verdict.endswith("with 4.0 times its training time.")


def test_two_seeds_are_too_few(compared):
    found = content(compared[0], compared[1], compared[3], compared[4])
    assert "too few seeds (2) to compare" in found.verdict
    assert found.comparison.rows[0][1:4] == ["+2.75", "none", 2]


def test_the_verdict_on_several_variants_names_each(compared, tmp_path):
    slower = [made(tmp_path / f"slower{seed}", 40.0 + seed, seed=seed, epochs=4) for seed in range(3)]
    more = [made(tmp_path / f"more{seed}", top1, seed=seed, epochs=5) for seed, top1 in enumerate((51.0, 49.0, 52.0))]
    found = content(*compared, *slower, *more, baseline=0)
    assert found.verdict == (
        "Leaders against that of baseline, epochs 3, by 95 % intervals: better: mcl-okd, epochs 3; "
        "worse: baseline, epochs 4; not told apart: baseline, epochs 5."
    )
    assert len(found.sentences) == 3
    few = content(compared[0], compared[3], slower[0], baseline=0)
    assert few.verdict == "There are too few seeds to compare the 2 other variants with baseline, epochs 3: no claim."


def test_without_a_baseline_nothing_is_claimed(tmp_path):
    runs = [made(tmp_path / f"run{lr}", 50.0, lr=lr) for lr in (0.1, 0.2)]
    assert content(*runs).verdict == "No baseline is named, so nothing is claimed: --baseline RUN names one."
    assert content(*runs, baseline=1).comparison.rows[0][0] == "baseline, lr 0.1"


def test_one_run_claims_nothing_and_has_the_wilson_interval(tmp_path):
    found = content(made(tmp_path / "run", 50.0))
    share, z = 0.5, stats.norm.ppf(0.975)  # Wilson, 1927
    half = z * np.sqrt(share * (1 - share) / 1000 + z**2 / (4 * 1000**2)) / (1 + z**2 / 1000)
    assert f"{100 * (0.5 - half):.1f} to {100 * (0.5 + half):.1f} %" in found.verdict
    assert found.verdict.endswith("one run: no claim about the method.")


def test_a_run_that_has_not_ended_shows_its_curves(tmp_path, compared):
    run = made(tmp_path / "unfinished", None, epochs=7)
    found = content(run)
    assert found.verdict == "Training has not ended: 7 of 7 epochs are done. One run: no claim."
    assert [chart.title for chart in found.details[0].curves] == ["Training loss", "Learning rate"]
    assert "not ended" in found.details[0].missing
    assert content(run, *compared, baseline=1).comparison.rows[0][3] == 3


def test_long_curves_are_thinned_and_say_so(tmp_path):
    (reported,) = read_runs([made(tmp_path / "run", 50.0, epochs=2 * MOST_POINTS + 1)])
    chart = curves_of(reported, "x")[0]
    epochs = chart.data["series"][0]["x"]
    assert len(epochs) <= MOST_POINTS + 1
    assert epochs[-1] == 2 * MOST_POINTS + 1
    assert np.unique(np.diff(epochs[:-1])).tolist() == [3]
    assert chart.note.endswith(f"Of {2 * MOST_POINTS + 1} epochs, every third is shown.")


def test_runs_stand_beside_the_figures_of_the_paper(tmp_path):
    peers = {"method": "mcl-okd", "peers": 4, "backbone": "resnet32", "sharing": "branch"}
    found = content(
        made(tmp_path / "full", 75.0, epochs=300, **peers),
        made(tmp_path / "part", 50.0, **{"subset.classes": 20}, **peers),
        made(tmp_path / "other", 50.0, backbone="resnet20"),
    )
    figure = published(table=2, dataset="CIFAR-100", setting="branch", network="ResNet-32", method="MCL-OKD")
    ((_, table),) = next(one for one in found.sections if one.id == "paper").tables
    full, part = [row for row in table.rows if row[1] == "leader"]
    assert full[3:] == [f"{figure.mean} ± {figure.std}", "25.00", 1, f"{25 - figure.mean:+.2f}", ""]
    assert part[-1] == "20 classes; 3 epochs instead of 300"
    assert {row[1] for row in table.rows} == {"leader", "ensemble"}


def test_figures_are_those_of_analyse(hostile, tmp_path):
    (reported,) = read_runs([hostile])
    details = content_of([reported], analyses=["similarity"]).details[0]
    figures = analyse(hostile, ["similarity"])["similarity"]["figures"]
    ((_, table),) = details.sections[0].tables
    column = list(table.columns).index("leader")
    assert {row[0]: float(row[column]) for row in table.rows} == pytest.approx(figures, rel=1e-3)


def test_a_run_without_checkpoint_says_why_it_is_not_analysed(tmp_path):
    run = made(tmp_path / "run", 50.0)
    section = content_of(read_runs([run]), analyses=["diversity"]).details[0].sections[0]
    assert section.tables == ()
    assert section.notes[1].startswith("It was not computed: ")
    with pytest.raises(UserError, match="unknown analysis 'beauty'"):
        write_report([run], tmp_path / "report.html", analyses=["beauty"])


def test_seeds_on_the_same_images_are_compared_image_by_image(hostile, tmp_path):
    """One seed is too few, and the interval covers the images: the one of a comparison of runs."""
    other = made_from(hostile, tmp_path / "other")
    row = content(other, hostile, baseline=1).comparison.rows[0]
    correct = [100.0 * (one.leader.predicted == one.labels) for one in (other.predictions(), hostile.predictions())]
    interval = paired_interval(correct[0] - correct[1])
    assert row[2] == f"{interval.low:+.2f} to {interval.high:+.2f} over images, not over seeds"
    assert row[3:5] == [1, "too few seeds"]


def test_runs_on_different_test_images_are_not_compared(hostile, tmp_path):
    """Their accuracies are no pair, whatever the data are called; peerdistill compare refuses them, too."""
    other = made_from(hostile, tmp_path / "other", reverse=True)
    found = content(other, hostile, baseline=1)
    assert found.comparison is None
    assert "No other run shares a seed and images" in found.verdict


def made_from(run: Run, folder: Path, *, reverse: bool = False) -> Run:
    """Copy a run, and let its leader be wrong for the first 20 images; ``reverse`` changes the order of the labels."""
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("checkpoints"))
    file = folder / "predictions" / "last_test.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["leader_predicted"][:20] = (arrays["labels"][:20] + 1) % 4
    arrays["labels"] = arrays["labels"][::-1] if reverse else arrays["labels"]
    np.savez(file, **arrays)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "lr": 0.3}))
    return Run(folder)


def test_kinds_are_not_mixed(tmp_path, episodes_run):
    with pytest.raises(UserError, match="different kinds"):
        write_report([made(tmp_path / "run", 50.0), episodes_run], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_figures_of_bench_are_shown(tmp_path):
    run = made(tmp_path / "run", 50.0)
    form = {"bytes": 1_500_000, "accuracy": {"top1": 50.25}, "milliseconds": {"1": 0.5, "32": 8.0}}
    (run.path / "bench.json").write_text(json.dumps({"networks": {"leader": {"onnx": form}}}))
    table = content(run).details[0].forms
    assert list(table.columns) == ["network", "form", "top-1", "MB", "ms for 1 image", "ms for 32 images"]
    assert table.rows == [["leader", "onnx", "50.25 %", 1.5, 0.5, 8.0]]
    (run.path / "bench.json").write_text("{}")
    with pytest.raises(UserError, match="does not hold what 'peerdistill bench RUN --json' prints"):
        content(run)


def test_missing_data_are_explained(hostile, tmp_path):
    moved = Run(hostile.path, {"data": f"npz:{tmp_path / 'gone.npz'}"})
    found: list[ReportedRun] = read_runs([moved])
    details = content_of(found).details[0]
    assert details.missing.startswith("The pictures are not shown: ")
    assert all(one["picture"] is None for one in details.hardest)
    assert details.classes[1].data["pictures"] == {}


def test_cost_is_that_of_the_command(hostile):
    section = next(one for one in content(hostile).details[0].sections if one.id == "cost")
    found = cost_of_run(hostile, measure=False)
    (_, table), seconds = section.tables[0], json.loads(hostile.result_file.read_text())["cpu_seconds"]
    values = dict(table.rows)
    assert values["parameters of the deployed leader"] == f"{found.parameters['leader']:,}"
    assert values["times those of the leader alone"] == f"{found.ratio:.2f} x"
    assert values["multiply-adds of the whole training"] == in_units(found.training)
    assert values["training time"] == f"{seconds:.1f} s"


def test_runs_and_variants_have_the_same_training_time(compared):
    """It is the CPU time here, 10 and 25 seconds; the elapsed time is not said beside it."""
    for run in compared:
        result = json.loads(run.result_file.read_text())
        run.result_file.write_text(json.dumps({**result, "seconds": 99.0}))
    found = content(*compared)
    runs = [row[found.runs.columns.index("training time")] for row in found.runs.rows]
    assert runs == ["10.0 s"] * 3 + ["25.0 s"] * 3
    variants = [row[found.groups.columns.index("training time, mean")] for row in found.groups.rows]
    assert variants == ["10.0 s", "25.0 s"]


def test_results_of_a_study_are_shown_with_their_verdicts(tmp_path):
    axes = {"method": {"Single": {"method": "baseline", "peers": 1}, "Peers": {"method": "dml", "sharing": "network"}}}
    values = {
        "title": "Mine",
        "datasets": {"digits": {"data": "digits"}},
        "axes": axes,
        "baseline": {"method": "Single"},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**values, "equal_compute": False}))
    study = load_study(str(tmp_path / "mine.yaml"))
    errors = {"Single": (40.0, 41.0, 42.0), "Peers": (35.0, 36.5, 37.0)}
    cells = [
        CellRecord(
            cell.name, cell.labels, cell.kind, cell.role, cell.seed, "finished", last={"error": {"leader": error}}
        )
        for cell in study.cells
        if cell.labels.get("method") in errors
        for error in [errors[cell.labels["method"]][cell.seed]]
    ]
    Record("Mine", "full", {"digits": ""}, tuple(cells)).write(tmp_path / "results")
    with pytest.raises(UserError, match="the results are those of 'Mine', which the package does not have"):
        study_sections(tmp_path / "results")
    for place in (tmp_path / "results", tmp_path / "results" / "results.json"):
        (section,) = study_sections(place, str(tmp_path / "mine.yaml"))
        rows = {row[section.tables[0][1].columns.index("method")]: row for row in section.tables[0][1].rows}
        assert f"{np.mean(errors['Peers']):.2f} ± {np.std(errors['Peers'], ddof=1):.2f}" in rows["Peers"]
        assert any("better" in note and "3 seeds" in note for note in section.notes)
    with pytest.raises(UserError, match="holds no results of a study"):
        study_sections(tmp_path)
