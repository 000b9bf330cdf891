"""The results of a study, from the record that ``peerdistill reproduce`` wrote, as sections of a report."""

from pathlib import Path

from peerdistill.errors import UserError
from peerdistill.study.plan import Study, load_study, study_names
from peerdistill.study.plan.study_file import read_study
from peerdistill.study.record import RESULTS_FILE, Record
from peerdistill.study.report.charts import Section, Table
from peerdistill.study.results import Table as Results
from peerdistill.study.results import summarise, table_of
from peerdistill.study.results.table import KEYS
from peerdistill.study.results.values import text


def study_sections(results: Path, study: str | None = None) -> list[Section]:
    """Return the tables of a study, with its verdicts and notes.

    Args:
        results: ``results.json``, or the folder that holds it.
        study: Name or YAML file of the study; by default the study of the package with the title of the record.

    Raises:
        UserError: There is no record, or the study is unknown.
    """
    folder = results if results.is_dir() else results.parent
    record = Record.read(folder) if results.name == RESULTS_FILE or results.is_dir() else None
    if record is None:
        raise UserError(f"{results} holds no results of a study: --results takes a folder that reproduce wrote")
    found = table_of(summarise(_study(record, study), record))
    notes = (*found.verdicts, *found.notes, *found.reasons)
    tables = [(f"{part} of the study", _table(found, part)) for part in found.parts]
    return [Section("study", found.title, notes, tables=tables)]


def _study(record: Record, name: str | None) -> Study:
    if name is not None:
        return load_study(name, scale=record.scale)
    found = next((one for one in study_names() if (read_study(one)[1].title or one) == record.study), None)
    if found is None:
        raise UserError(
            f"the results are those of '{record.study}', which the package does not have: name --study FILE"
        )
    return load_study(found, scale=record.scale)


def _table(results: Results, part: str) -> Table:
    columns = [*results.columns(KEYS), *results.columns(part)]
    rows = [[text(value) for value in (*row[KEYS].values(), *row[part].values())] for row in results.rows]
    return Table(columns, rows)
