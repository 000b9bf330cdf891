"""Few-shot learning: data whose splits share no class, episodes, prototypical peers and their evaluation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
