"""From a configuration to a result: the run folder, training, evaluation, export and prediction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
