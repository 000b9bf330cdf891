"""The record of a study: what its cells measured, kept when their runs are deleted. Free of PyTorch."""

from peerdistill.study.record.cell import PREDICTORS, CellRecord, Figures, Status
from peerdistill.study.record.record import RESULTS_FILE, Record

__all__ = ["PREDICTORS", "RESULTS_FILE", "CellRecord", "Figures", "Record", "Status"]
