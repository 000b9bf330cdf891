"""Image sources, their splits, and batches of images, labels and sample indices on the training device."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
