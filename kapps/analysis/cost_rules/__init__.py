"""Cost rules of Keras's layers and operations. Importing this package registers all of them.

Every rule is a function (layer, inputs, outputs) that returns a `Cost`; `inputs` and `outputs` are lists of
shapes with the batch.
"""

from kapps.analysis.cost_rules import (
    attention_costs,
    convolution_costs,
    layer_costs,
    operation_costs,
    pooling_costs,
    recurrent_costs,
)

__all__ = [
    "attention_costs",
    "convolution_costs",
    "layer_costs",
    "operation_costs",
    "pooling_costs",
    "recurrent_costs",
]
