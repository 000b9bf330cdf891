"""MkDocs hook: ```math blocks, which GitHub shows as equations, become MathML when the site is built.

Browsers draw MathML themselves, so the site needs no script and no fonts for it.
"""

from latex2mathml.converter import convert


def on_config(config):
    """Register the fence ``math``."""
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [
        {"name": "math", "class": "math", "format": _equation}
    ]
    return config


def _equation(source, *_, **__):
    return f'<div class="equation">{convert(source.strip(), display="block")}</div>'
