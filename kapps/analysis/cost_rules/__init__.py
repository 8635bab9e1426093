"""The rules of Keras's own layers and operations, by what they do. Importing this registers all."""

from kapps.analysis.cost_rules import (
    attention_costs,
    convolution_costs,
    layer_costs,
    operation_costs,
    recurrent_costs,
)

__all__ = [
    "attention_costs",
    "convolution_costs",
    "layer_costs",
    "operation_costs",
    "recurrent_costs",
]
