from .counting import multiply_adds, saved_bytes
from .passes import MultiplyAdds, multiply_adds_of_steps, multiply_adds_per_step
from .sizes import Sizes, sizes_of, sizes_of_config, sizes_of_run
from .total import Cost, cost, cost_of_run

__all__ = [
    "Cost",
    "MultiplyAdds",
    "Sizes",
    "cost",
    "cost_of_run",
    "multiply_adds",
    "multiply_adds_of_steps",
    "multiply_adds_per_step",
    "saved_bytes",
    "sizes_of",
    "sizes_of_config",
    "sizes_of_run",
]
