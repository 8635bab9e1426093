"""Other gradients of ReLU: those of the deconvnet, of guided backpropagation, and one that opens closed gates."""

import functools

import keras
from keras import ops

METHODS = ("deconvnet", "guided backpropagation", "redirection")
"""A deconvnet applies ReLU to the gradient, guided backpropagation ReLU and the gate. Redirection is for the gradient
of a loss: a closed gate passes its negative part, which opens the gate."""
OTHER_ACTIVATIONS = (
    "celu", "elu", "gelu", "glu", "hard_silu", "leaky_relu", "mish", "selu", "silu", "softplus",
)  # fmt: skip
"""Activations in the place of ReLU, for which the methods are not defined."""
OTHER_OPERATIONS = {name.replace("_", "") for name in OTHER_ACTIVATIONS}
OTHER_LAYERS = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.PReLU)


class Gates:
    """Calls of ReLU with another gradient.

    Args:
        model: the model.
        method: one of `METHODS`.
    """

    def __init__(self, model, method):
        self.model, self.method, self.count = model, method, 0

    def visit(self, call):
        """Returns the outputs of a call, with the method's gradient if it is one of ReLU.

        Raises:
            ValueError: for another activation in the place of ReLU, unless the method is "redirection".
        """
        other = _other_activation(call.operation)
        if other and self.method != "redirection":
            raise ValueError(
                f"{self.model.name}: {call.path} has {other}; {self.method} is defined for ReLU, use saliency or "
                "grad_cam"
            )
        operation = call.operation
        if other:
            return call.proceed()
        if isinstance(operation, keras.layers.ReLU):
            return self._relu(call.args[0], operation.max_value)
        if type(operation).__name__ in ("Relu", "Relu6"):
            return self._relu(call.args[0], 6 if type(operation).__name__ == "Relu6" else None)
        activation = getattr(operation, "activation", None)
        if activation not in (keras.activations.relu, keras.activations.relu6):
            return call.proceed()
        operation.activation = keras.activations.linear
        try:
            return self._relu(call.proceed(), 6 if activation is keras.activations.relu6 else None)
        finally:
            operation.activation = activation

    def check_count(self):
        """Raises ValueError if no ReLU was called."""
        if not self.count:
            raise ValueError(
                f"{self.model.name} has no ReLU that a layer applies, for which {self.method} is defined"
            )

    def _relu(self, x, most):
        self.count += 1
        return _relu(self.method, most, x)


def _other_activation(operation):
    """Returns the name of an activation in the place of ReLU, or None."""
    if isinstance(operation, OTHER_LAYERS):
        return type(operation).__name__
    if isinstance(operation, keras.layers.ReLU):
        has_other = operation.negative_slope or operation.threshold
        return "a ReLU with a slope or a threshold" if has_other else None
    if not isinstance(operation, keras.layers.Layer):
        name = type(operation).__name__
        return name if name.lower() in OTHER_OPERATIONS else None
    name = getattr(getattr(operation, "activation", None), "__name__", None)
    return name if name in OTHER_ACTIVATIONS else None


def _relu(method, most, x):
    """Returns ReLU, with the largest value `most` if it has one, and with a method's gradient."""

    @ops.custom_gradient
    def relu(x):
        y = ops.relu(x) if most is None else ops.clip(x, 0, most)
        is_open = x > 0 if most is None else ops.logical_and(x > 0, x < most)
        return y, functools.partial(_gradient, method, ops.cast(is_open, x.dtype))

    return relu(x)


def _gradient(method, is_open, *args, upstream=None):
    upstream = args[0] if upstream is None else upstream
    if method == "redirection":
        return is_open * upstream + (1 - is_open) * ops.minimum(upstream, 0)
    positive = ops.relu(upstream)
    return positive if method == "deconvnet" else is_open * positive
