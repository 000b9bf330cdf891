"""Names of the forms of a network in tables and plots. Importing this file does not import PyTorch."""

from peerdistill.deploy.formats import FORMATS

IN_PYTORCH = {"pytorch": "PyTorch eager", "pt2": "PyTorch (pt2)"}
"""The forms that run in PyTorch."""


def form_name(form: str) -> str:
    """Return the name of a form: "pytorch", or the name of a format.

    Example:
        >>> form_name("onnx")
        'ONNX float32'
    """
    return IN_PYTORCH.get(form) or FORMATS[form].help
