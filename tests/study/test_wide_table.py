import pytest

from peerdistill.study.wide_table import Column, WideTable
from support.console import printed, silent_console

METHODS = ["single network", "MCL-OKD, peers from the middle on"]
NUMBERS = {f"measured number {place}": [f"{place}{place}.00 ± 1.00", f"{place},000,000"] for place in range(1, 7)}
TABLE = WideTable(
    "[bold]Title", [Column("method", METHODS)], [Column(name, cells, is_number=True) for name, cells in NUMBERS.items()]
)


def lines_of(table: WideTable, width: int) -> list[str]:
    console = silent_console(width)
    console.print(table)
    return printed(console).splitlines()


def test_a_wide_terminal_shows_one_table_with_every_label_in_one_line():
    lines = lines_of(TABLE, 200)
    assert lines[0] == "[bold]Title"  # literally
    (row,) = (line for line in lines if METHODS[1] in line)
    assert all(cells[1] in row for cells in NUMBERS.values())


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_narrow_terminal_shows_several_tables_without_broken_numbers(width):
    lines = lines_of(TABLE, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for cells in NUMBERS.values():
        for cell in cells:
            assert text.count(cell) == 1
    tables = sum("───" in line for line in lines)
    assert tables == text.count("method") == text.count("single network") > 1


def test_each_of_several_tables_has_as_many_columns_as_fit():
    counts = [sum(number.isdigit() for number in line.split()) for line in lines_of(TABLE, 60) if "1.00" not in line]
    headings = [count for count in counts if count]
    assert headings == [2, 2, 2]


def test_long_headings_are_broken_between_words():
    table = WideTable("T", [Column("k", ["a"])], [Column("plain network, same multiply-adds", ["1"], is_number=True)])
    lines = [line.strip() for line in lines_of(table, 80)]
    assert "plain network," in lines
    assert any(line.endswith("multiply-adds") for line in lines)


def test_a_terminal_that_is_narrower_than_one_column_still_shows_all_of_it():
    text = "".join("".join(lines_of(TABLE, 24)).split())
    assert all(digit in text for digit in "123456")


def test_a_table_without_rows_shows_its_headings():
    table = WideTable("T", [Column("method", [])], [Column("error", [])])
    assert any("method" in line and "error" in line for line in lines_of(table, 40))
