"""Griffe extension: the conventions of our docstrings, in the form that mkdocstrings shows.

``:class:`peerdistill.Run``` becomes a link to the name if it has a place in the reference, and a section ``Example:``
is read as code, as ``Examples:`` is.
"""

import re

from griffe import Extension

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([\w.]+)`")
EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites every docstring once, when it is loaded."""

    def on_instance(self, *, obj, **_):
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            text = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
            obj.docstring.value = ROLE.sub(
                lambda role: f'<autoref identifier="{role[1]}" optional><code>{role[1]}</code></autoref>', text
            )
