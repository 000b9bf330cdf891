"""Online knowledge distillation: peers learn together, the leader is deployed alone.

Importing the package is free: PyTorch is imported with the first name that needs it.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
