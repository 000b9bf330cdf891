"""Contrastive losses as functions of tensors, and the memory banks and queues they read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
