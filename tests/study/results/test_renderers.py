"""The same table as text, Markdown, CSV and JSON."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from peerdistill.errors import UserError
from peerdistill.study.results import Table, summarise, table_of
from peerdistill.study.results.renderers import rendered, suffixes, terminal
from peerdistill.study.results.values import Amount, OverSeeds
from support.console import printed, silent_console

ERRORS = {"plain": [30.0, 31.0, 33.0], "Peers": [29.0, 30.5, 31.123456], "MCL|OKD": [28.0, 29.0]}
SECONDS = {"plain": 100.0, "Peers": 200.0, "MCL|OKD": 300.0}


@pytest.fixture(scope="module")
def table(study_of, record_of):
    study = study_of("small", options={"epochs": 20, "validation": 0})
    return table_of(summarise(study, record_of(study, ERRORS, SECONDS)))


def test_csv_has_every_line_in_full_precision(table):
    rows = list(csv.DictReader(io.StringIO(rendered(table, ".csv"))))
    assert [row["method"] for row in rows] == ["Peers", "MCL|OKD", "plain network"]
    for row, values in zip(rows, (ERRORS["Peers"], ERRORS["MCL|OKD"], ERRORS["plain"]), strict=True):
        assert float(row["leader error, %"]) == sum(values) / len(values)
        assert int(row["leader error, %: seeds"]) == len(values)
        assert row["scale"] == "small: 10 of 20 epochs"
    assert [float(row["seconds"]) for row in rows] == [200, 300, 100]
    assert rows[0]["plain network, same seconds: epochs"] == "20"
    assert rows[1]["seeds"] == "2 of 3 (1 planned)"


def test_the_columns_of_a_figure_stand_together_in_csv_although_the_first_row_lacks_it():
    rows = tuple(
        {"": {"method": str(number)}, "Results": {"ensemble": value, "seeds": 3}}
        for number, value in enumerate((None, OverSeeds(1.0, 0.5, 3)))
    )
    header = rendered(Table("Title", rows), ".csv").splitlines()[0]
    assert header == "method,ensemble,ensemble: deviation,ensemble: seeds,seeds"


def test_small_amounts_keep_their_digits():
    """0 seconds and 1 G for 0.6 G would mislead."""
    row = {"": {"method": "A"}, "Equal compute": {"seconds": Amount(0.25), "multiply-adds, G": Amount(1234567.0)}}
    assert "| A | 0.25 | 1,234,567 |" in rendered(Table("Title", (row,)), ".md")


def test_runs_without_a_result_for_the_same_reason_are_listed_together(study, record_of):
    summary = summarise(study, record_of(study, ERRORS))
    many = replace(summary, reasons={**{f"run-{seed}": "the disk is full" for seed in range(7)}, "other": "no data"})
    assert table_of(many).reasons == (
        "'run-0', 'run-1', 'run-2', 'run-3', 'run-4' and 2 more: the disk is full",
        "'other': no data",
    )


def test_json_has_the_lines_and_all_of_the_verdicts(table):
    found = json.loads(rendered(table, ".json"))
    assert [row["method"] for row in found["rows"]] == ["Peers", "MCL|OKD", "plain network"]
    assert found["rows"][0]["leader error, %"]["seeds"] == 3
    outcomes = [(verdict["second"], verdict["outcome"]) for verdict in found["verdicts"]]
    assert outcomes == [("the plain network", "not told apart"), ("the plain network", "too few seeds")]
    assert found["verdicts"][0]["interval"]["method"] == "Student's t"


def test_markdown_has_one_table_per_part_and_escapes_labels(table):
    text = rendered(table, ".md")
    assert text.startswith("# Two \\<i\\>methods\\</i\\>, scale small\n")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == ["Results", "Equal compute", "Verdicts", "Notes"]
    rows = [line for line in text.splitlines() if "MCL" in line and line.startswith("|")]
    assert rows[0].startswith("| digits | ResNet-8 | MCL\\|OKD | 2 of 3 (1 planned) | 28.50 ± 0.71 | 29.50 ± 0.71 |")
    assert "small: 10 of 20 epochs" in rows[0]
    heads = [line for line in text.splitlines() if line.startswith("| dataset")]
    plain = [re.sub(r"\\\|", "", row) for row in (*heads, *rows)]
    assert plain[0].count("|") == plain[2].count("|")
    assert plain[1].count("|") == plain[3].count("|")


def test_the_terminal_shows_labels_literally_and_says_what_was_reduced(table):
    console = silent_console(100)
    console.print(terminal.render(table))
    text = printed(console)
    assert "Two <i>methods</i>, scale small, digits, ResNet-8: Results" in text
    lines = [line for line in text.splitlines() if line.startswith("  MCL|OKD")]
    assert "28.50" in lines[0]
    assert lines[0].rstrip().endswith("small")
    assert "digits, scale small: 10 of 20 epochs." in text
    assert "too few seeds (2) to compare" in " ".join(text.split())
    assert "[red]" in str(printed_with_markup(table))


def printed_with_markup(table):
    from dataclasses import replace

    console = silent_console(100)
    console.print(terminal.render(replace(table, title="[red]title")))
    return printed(console)


def test_a_table_without_rows_is_no_error(study_of, record_of):
    study = study_of()
    table = table_of(summarise(study, record_of(study, {})))
    console = silent_console()
    console.print(terminal.render(table))
    assert "3 planned" in printed(console)
    for suffix in suffixes():
        assert "planned" in rendered(table, suffix)


def test_an_unknown_suffix_names_the_known_ones(table):
    with pytest.raises(UserError, match=r"cannot be written as '.xls': choose from .csv, .json, .md"):
        rendered(table, ".xls")
