"""``python -m peerdistill`` is the command ``peerdistill``."""

from peerdistill.cli import entry

entry()
