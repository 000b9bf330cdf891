"""Reports in a real Chromium."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from peerdistill.errors import printable
from peerdistill.runs import Run
from peerdistill.study.report import write_report
from support.command_line import run
from support.hostile import CLASS_NAMES

ROWS = (
    """table => [...table.querySelectorAll("tbody tr")].map(row => [...row.children].map(cell => cell.textContent))"""
)


@pytest.fixture(scope="module")
def report(hostile, tmp_path_factory) -> Path:
    return write_report([hostile], tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(report, open_page):
    """The report in a page that must have neither errors nor foreign requests at the end."""
    recorded = open_page(report)
    yield recorded.page
    assert recorded.errors == []
    assert recorded.foreign_requests(report.as_uri()) == []


def table_under(page, title: str) -> list[list[str]]:
    """Open the table under a chart and return the text of its rows."""
    figure = page.locator("figure", has=page.get_by_role("heading", name=title, exact=True))
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()  # a chart that is drawn during the click moves what is clicked on
    figure.locator("details.data > summary").click()
    return figure.locator("details.data table").evaluate(ROWS)


def test_numbers_are_those_of_evaluate(opened, hostile):
    found = json.loads(run("evaluate", hostile.path, "--json").stdout)
    leader, ensemble = found["leader"], found["ensemble"]
    facts = dict(
        zip(
            opened.locator(".facts dt").all_text_contents(),
            opened.locator(".facts strong").all_text_contents(),
            strict=True,
        )
    )
    assert facts["Leader"] == f"{leader['top1']:.2f} %"
    assert facts["Ensemble"] == f"{ensemble['top1']:.2f} %"
    assert facts["Balanced accuracy"] == f"{100 * leader['balanced_accuracy']:.2f} %"
    assert float(facts["Calibration error"]) == pytest.approx(leader["ece"], abs=1e-4)
    rows = {name: numbers for name, *numbers in table_under(opened, "Recall of every class")}
    assert sorted(rows) == sorted(map(printable, CLASS_NAMES))
    for name, rates in leader["per_class"].items():
        *shares, images = map(float, rows[printable(name)])
        expected = [rates["recall"], rates["precision"], rates["f1"], ensemble["per_class"][name]["recall"]]
        assert shares == pytest.approx(expected, abs=1e-4)
        assert images == rates["support"]
    names = [printable(name) for name in CLASS_NAMES]
    confusion = np.zeros((4, 4), dtype=int)
    for true, predicted, count, *_ in table_under(opened, "Confusion"):
        confusion[names.index(true), names.index(predicted)] = int(count)
    assert confusion.tolist() == leader["confusion"]


def test_curves_are_those_of_the_log(opened, hostile):
    records = [json.loads(line) for line in hostile.metrics_file.read_text().splitlines()]
    rows = table_under(opened, "Accuracy on validation images")
    assert [row[0] for row in rows] == [str(record["epoch"]) for record in records]
    scores = [record["validation"] for record in records]
    expected = [[one["peers"][0]["top1"], one["ensemble"]["top1"], one["leader"]["top1"]] for one in scores]
    for row, values in zip(rows, expected, strict=True):
        assert [float(value) for value in row[1:]] == pytest.approx(values, abs=0.006)


def test_hostile_names_do_no_harm(opened):
    figure = opened.locator("figure", has=opened.get_by_role("heading", name="Confusion", exact=True))
    figure.scroll_into_view_if_needed()
    figure.locator(".plot .main-svg").first.wait_for()
    drawn = figure.locator(".plot").inner_text()
    assert "</script><scri" in drawn  # literally, as far as there is space
    assert figure.locator(".plot b, .plot a[href='x']").count() == 0
    assert opened.evaluate("window.hacked") is None
    assert opened.locator("main img[src='x']").count() == 0
    assert opened.evaluate("document.scripts.length") == 3
    assert "<img src=x onerror=window.hacked=1>" in opened.locator("h1").inner_text()


def test_every_chart_is_drawn_and_has_its_table(opened):
    figures = opened.locator("figure[data-chart]")
    assert figures.count() == 11  # 3 curves, 3 of classes, the similarity of pairs, 4 of diversity
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for()
        figure.locator("details.data > summary").click()
        figure.locator("details.data tbody td").nth(1).wait_for(state="attached")


def test_keyboard_reaches_tables_and_pictures(opened):
    figure = opened.locator("figure", has=opened.get_by_role("heading", name="Confusion", exact=True))
    summary = figure.locator("details.data > summary")
    for _ in range(60):
        opened.keyboard.press("Tab")
        if summary.evaluate("element => element === document.activeElement"):
            break
    opened.keyboard.press("Enter")
    figure.locator("details.data table").wait_for()
    for _ in range(12):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.textContent") == "Show":
            break
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.tagName") == "H5"
    picture = figure.locator(".gallery img").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8  # a digit


def test_both_themes_paper_and_phone(report, open_page, tmp_path):
    for scheme, other in (("light", "dark"), ("dark", "light")):
        recorded = open_page(report, width=360, scheme=scheme)
        page = recorded.page
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        background = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(background)
        page.get_by_role("button", name=f"Use the {other} theme").click()
        assert page.evaluate(background) != before
        assert recorded.errors == []
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
    assert recorded.errors == []


def test_a_chart_can_be_saved_as_a_picture(opened):
    plot = opened.locator("figure .plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    plot.hover()
    with opened.expect_download() as download:
        plot.locator("[data-title*='Download']").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def copies(run: Run, folder: Path, count: int, epochs: int) -> list[Run]:
    """Return copies of a run that seem to have been trained for many epochs, with different seeds and methods."""
    record = json.loads(run.metrics_file.read_text().splitlines()[-1])
    lines = "".join(f"{json.dumps({**record, 'epoch': epoch})}\n" for epoch in range(1, epochs + 1))
    config = yaml.safe_load(run.config_file.read_text())
    found = []
    for number in range(count):
        path = folder / f"run-{number}"
        shutil.copytree(run.path, path, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
        (path / "metrics.jsonl").write_text(lines)
        changed = {**config, "seed": number % 5, "epochs": epochs, "lr": 0.01 * (1 + number // 5)}
        (path / "config.yaml").write_text(yaml.safe_dump(changed))
        found.append(Run(path))
    return found


def seconds_to_open(page) -> float:
    """Return the CPU time in which the page opens again, which other processes do not lengthen."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def test_twenty_runs_of_300_epochs_open_in_two_seconds(hostile, tmp_path, open_page):
    runs = copies(hostile, tmp_path, 20, 300)
    file = write_report(runs, tmp_path / "many.html", baseline=runs[0], analyses=())
    assert file.stat().st_size < 15_000_000
    recorded = open_page(file)
    page = recorded.page
    assert seconds_to_open(page) < 2  # scripts have run; charts are drawn when they come into view
    page.get_by_role("link", name="Curves").click()
    page.locator("#curves .main-svg").first.wait_for()
    page.get_by_label("Run", exact=True).select_option("run7")
    assert page.locator("article:visible").get_attribute("aria-label") == "run-7"
    rows = page.locator("#summary table").first.evaluate(ROWS)
    assert [row[1:5] for row in rows] == [["+0.00", "none", "5", "not told apart"]] * 3
    assert recorded.errors == []


def test_a_few_shot_run_shows_its_interval(episodes_run, tmp_path, open_page):
    recorded = open_page(write_report([episodes_run], tmp_path / "episodes.html"))
    scores = json.loads(episodes_run.result_file.read_text())["last"]["test"]["leader"]
    leader = recorded.page.locator(".facts strong").first.inner_text()
    assert leader == f"{scores['top1']:.2f} ± {scores['interval95']:.2f} %"
    assert "one run: no claim" in recorded.page.locator(".lead").inner_text()
    assert recorded.errors == []
