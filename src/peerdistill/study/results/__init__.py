"""Results of a study: summaries, equal compute, verdicts with intervals, tables and plots; comparison of runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
