"""Training: runs batches through cohort and method, and keeps the state that a resumed run needs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
