"""Other gradients of ReLU: the deconvnet's and guided backpropagation's."""

import keras
from keras import ops

METHODS = ("deconvnet", "guided backpropagation")
"""A deconvnet applies ReLU to the gradient, guided backpropagation ReLU and the gate."""
OTHER_GATES = (
    "celu", "elu", "gelu", "glu", "hard_swish", "leaky_relu", "mish", "selu", "silu", "softplus", "swish",
)  # fmt: skip
"""Activations that take the place of ReLU, for which the methods are not defined."""
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
            ValueError: for another activation that takes the place of ReLU.
        """
        operation = call.operation
        kind = type(operation).__name__
        is_layer = isinstance(operation, keras.layers.Layer)
        if isinstance(operation, OTHER_LAYERS) or (
            not is_layer and kind.lower() in _compact(OTHER_GATES)
        ):
            raise self._error(call.path, kind)
        if isinstance(operation, keras.layers.ReLU):
            if operation.negative_slope or operation.threshold:
                raise self._error(call.path, "a ReLU with a slope or a threshold")
            return self._relu(call.args[0], operation.max_value)
        if not is_layer and kind in ("Relu", "Relu6"):
            return self._relu(call.args[0], 6.0 if kind == "Relu6" else None)
        activation = getattr(operation, "activation", None)
        name = getattr(activation, "__name__", None)
        if name in OTHER_GATES:
            raise self._error(call.path, name)
        if name not in ("relu", "relu6"):
            return call.proceed()
        operation.activation = keras.activations.linear
        try:
            return self._relu(call.proceed(), 6.0 if name == "relu6" else None)
        finally:
            operation.activation = activation

    def check(self):
        """Raises ValueError if no ReLU was called."""
        if not self.count:
            raise ValueError(
                f"{self.model.name} has no ReLU that a layer applies, for which {self.method} is defined"
            )

    def _relu(self, x, most):
        self.count += 1
        method = self.method

        @ops.custom_gradient
        def relu(x):
            y = ops.relu(x) if most is None else ops.clip(x, 0, most)
            is_open = ops.cast(x > 0 if most is None else ops.logical_and(x > 0, x < most), x.dtype)

            def gradient(*args, upstream=None):
                positive = ops.relu(args[0] if upstream is None else upstream)
                return positive if method == "deconvnet" else is_open * positive

            return y, gradient

        return relu(x)

    def _error(self, path, name):
        return ValueError(
            f"{self.model.name}: {path} has {name}; {self.method} is defined for ReLU, use saliency or grad_cam"
        )


def _compact(names):
    return {name.replace("_", "") for name in names}
