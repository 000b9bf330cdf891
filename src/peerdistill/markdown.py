"""Names of others in Markdown."""

import re

# What Markdown or HTML would interpret.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|&])")


def as_markdown(words: str) -> str:
    r"""Return text as one line that Markdown shows as it is.

    Example:
        >>> as_markdown("<b>cat</b>")
        '\\<b\\>cat\\</b\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))
