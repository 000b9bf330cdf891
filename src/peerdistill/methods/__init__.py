"""Methods: short compositions of terms with the weights of their papers, by function and by name.

A method is a function of a cohort and the training labels; its keyword options are the method's options on the
command line and in configuration files. Importing this room does not import PyTorch.
"""

from peerdistill.methods.catalog import (
    COST_CONDITIONS,
    METHODS,
    MethodCard,
    build,
    find,
    names,
    options_of,
    ranges_of_options,
)
from peerdistill.methods.online import baseline, cl_ilr, dml, kdcl, mcl, mcl_okd, okddip, one, pcl
from peerdistill.methods.taught import crd, kd, rkd_d, rkd_da

__all__ = [
    "COST_CONDITIONS",
    "METHODS",
    "MethodCard",
    "baseline",
    "build",
    "cl_ilr",
    "crd",
    "dml",
    "find",
    "kd",
    "kdcl",
    "mcl",
    "mcl_okd",
    "names",
    "okddip",
    "one",
    "options_of",
    "pcl",
    "ranges_of_options",
    "rkd_d",
    "rkd_da",
]
