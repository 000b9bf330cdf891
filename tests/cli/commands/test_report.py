import pytest


def test_report_writes_the_file_and_replaces_it(peers, tmp_path, peerdistill):
    file = tmp_path / "report.html"
    file.write_text("old")
    outcome = peerdistill("report", peers[0], "--out", file)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"wrote {file} (")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runs/digits", "--out", "report.pdf"], "--out must name a file that ends in .html, found report.pdf"),
        (["runs/digits", "--out", "none/report.html"], "there is no folder none"),
        (["runs/none"], "there is no run folder runs/none"),
        (["runs/digits", "--baseline", "runs/none"], "there is no run folder runs/none"),
        (["runs/digits", "runs/ten"], "are of different kinds"),
    ],
)
def test_report_explains_errors(at_home, peerdistill, words, sentence):
    outcome = peerdistill("report", *words)
    assert outcome.code == 2
    assert sentence in outcome.stderr
    assert not (at_home / "report.html").exists()
