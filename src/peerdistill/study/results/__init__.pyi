from .equal_compute import extra_cells
from .summary import Summary, summarise
from .table import Table, table_of
from .verdicts import Verdict, judge

__all__ = [
    "Summary",
    "Table",
    "Verdict",
    "extra_cells",
    "judge",
    "summarise",
    "table_of",
]
