"""The contrast of many views: pure functions of tensors, and the memory bank they look into."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
