"""Cross-layer depthwise convolution: a 1x1 convolution over the maps of several layers, channel by channel."""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class CrossLayerDepthwiseConv2D(layers.BatchNormalization):
    """Sums several maps, each after a batch norm of its own (Kuen 2016, arXiv:1611.05552, section 3).

    The gamma of a batch norm is the convolution's weight for each channel of its map, and is 1 / maps at first: the
    output is then the mean of the normalised maps. It is one layer, not one batch norm for each map, since a network
    has up to a thousand of them. Code that looks for batch norms finds it: to freeze them, or to compute their
    statistics over all replicas.

    Inputs: list of tensors (batch, height, width, channels) of one shape, any floating dtype. Output: a tensor of that
    shape. The weights gamma, beta, moving_mean and moving_variance are (maps, channels).

    Args:
        momentum: of the moving averages.
        epsilon: added to the variances.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if the inputs are not tensors of one shape.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.supports_masking = False

    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape[0], (tuple, list)) else ()
        if len({tuple(shape) for shape in shapes}) != 1:
            raise ValueError(f"{self.name}: {input_shape} are not shapes of maps, all the same")
        values = {"gamma": 1 / len(shapes), "beta": 0, "moving_mean": 0, "moving_variance": 1}
        for name, value in values.items():
            weight = self.add_weight(
                shape=(len(shapes), shapes[0][-1]),
                initializer=keras.initializers.Constant(value),
                trainable=name in ("gamma", "beta"),
                autocast=False,
                name=name,
            )
            setattr(self, name, weight)

    def call(self, inputs, training=None):
        # float32 at least, as in Keras's batch norm: squares overflow in half precision.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        maps = [ops.cast(x, dtype) for x in inputs]
        mean, variance = ops.cast(self.moving_mean, dtype), ops.cast(self.moving_variance, dtype)
        if training and self.trainable:
            axes = tuple(range(len(maps[0].shape) - 1))
            moments = [ops.moments(x, axes, synchronized=self.synchronized) for x in maps]
            means, variances = map(ops.stack, zip(*moments, strict=True))
            self.moving_mean.assign(self.momentum * mean + (1 - self.momentum) * means)
            self.moving_variance.assign(self.momentum * variance + (1 - self.momentum) * variances)
            mean, variance = means, variances
        scale = ops.cast(self.gamma, dtype) * ops.rsqrt(variance + self.epsilon)
        shift = ops.sum(ops.cast(self.beta, dtype) - mean * scale, axis=0)
        scales = ops.unstack(scale, len(maps))
        total = scales[0] * maps[0]
        for x, factor in zip(maps[1:], scales[1:], strict=True):
            total = total + factor * x
        return ops.cast(total + shift, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        options = {"momentum": self.momentum, "epsilon": self.epsilon}
        return {**layers.Layer.get_config(self), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a multiplication and an addition for each element of a map (see `kapps.analysis.register_cost`).

        As those of a batch norm, they are no multiply-accumulates of a convolution.
        """
        elements = len(input_shapes) * math.prod(output_shapes[0])
        return {"elementwise": elements, "additions": elements}

    def to_keras_layers(self):
        """Returns the same sum of Keras's batch norms."""
        inputs = [layers.Input(x.shape[1:], dtype=x.dtype) for x in self.input]
        norms = [
            layers.BatchNormalization(
                momentum=self.momentum, epsilon=self.epsilon, dtype=self.dtype_policy, name=f"norm{i}"
            )(x)
            for i, x in enumerate(inputs, start=1)
        ]  # fmt: skip
        return keras.Model(inputs, layers.Add(name="sum")(norms), name=self.name)

    def keras_weights(self):
        """Returns the values of those batch norms' weights."""
        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        rows = zip(*map(ops.convert_to_numpy, weights), strict=True)
        return [value for row in rows for value in row]
