"""``python -m peerdistill`` is the command ``peerdistill``; ``torchrun -m peerdistill`` needs this form."""

from peerdistill.cli import entry

entry()
