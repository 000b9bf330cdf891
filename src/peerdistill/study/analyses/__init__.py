"""Analyses of trained runs: one file each, which holds ``ANALYSIS`` and is found because it is in this folder.

Importing this package does not import PyTorch: the command line lists the analyses.
"""

from peerdistill.study.analyses.base.analysis import Analysis, DoesNotApply
from peerdistill.study.analyses.base.catalog import FORM, discover, find, listed
from peerdistill.study.analyses.base.run_analyses import RunAnalyses, analyse, analyse_runs

__all__ = ["FORM", "Analysis", "DoesNotApply", "RunAnalyses", "analyse", "analyse_runs", "discover", "find", "listed"]
