"""Terms: each one part of a loss, from what a cohort put out to one scalar."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
