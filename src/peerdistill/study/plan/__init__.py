"""Studies: from a YAML file to the runs that it needs. Nothing here imports PyTorch."""

from peerdistill.study.plan.cell import Cell, Place, Role
from peerdistill.study.plan.digest import digest
from peerdistill.study.plan.load import load_study
from peerdistill.study.plan.scales import scale_names
from peerdistill.study.plan.study import LinePlot, PaperTable, Scale, Study
from peerdistill.study.plan.study_file import study_names

__all__ = [
    "Cell",
    "LinePlot",
    "PaperTable",
    "Place",
    "Role",
    "Scale",
    "Study",
    "digest",
    "load_study",
    "scale_names",
    "study_names",
]
