"""Runs side by side: what differs in their configurations, their results, and the uncertainty of the differences."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
