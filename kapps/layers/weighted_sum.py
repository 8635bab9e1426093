"""The weighted sum of several maps, with a learned weight in (0, 1) for each."""

import math

import keras
import numpy as np
from keras import layers, ops

from kapps.layers.drop_path import keep_examples


@keras.saving.register_keras_serializable("kapps")
class WeightedSum(layers.Layer):
    """Adds its inputs, each times the sigmoid of a learned number (Xie 2019, arXiv:1904.01569, section 3.1).

    In training each input is left out for a fraction `drop_rate` of the examples, and the others grow by
    1 / (1 - drop_rate): DropPath on the edges of a graph (Larsson 2016, arXiv:1605.07648).

    Inputs: several tensors (batch, ...) of one shape, any floating dtype. Output: a tensor of that shape.

    Args:
        initial: initial value of the numbers before the sigmoid.
        drop_rate: in [0, 1).
        seed: of the inputs that training leaves out; None for a random one.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, initial=0.0, drop_rate=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= drop_rate < 1:
            raise ValueError(f"{self.name}: drop_rate={drop_rate!r} is not a fraction in [0, 1)")
        self.initial, self.drop_rate, self.seed = initial, drop_rate, seed
        if drop_rate:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if not isinstance(input_shape[0], (tuple, list)) or len(set(map(tuple, input_shape))) != 1:
            raise ValueError(f"{self.name}: {input_shape} are not several tensors of one shape")
        self.edge_weights = self.add_weight(
            shape=(len(input_shape),),
            initializer=keras.initializers.Constant(self.initial),
            name="edge_weights",
        )

    def call(self, inputs, training=False):
        weights = ops.unstack(ops.sigmoid(self.edge_weights), len(inputs))
        if training and self.drop_rate:
            pairs = zip(weights, inputs, strict=True)
            weights = [w * keep_examples(x, self.drop_rate, self.seed_generator) for w, x in pairs]
        total = weights[0] * inputs[0]
        for weight, x in zip(weights[1:], inputs[1:], strict=True):
            total = total + weight * x
        return total

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        options = {"initial": self.initial, "drop_rate": self.drop_rate, "seed": self.seed}
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a multiplication for each input's element, and the sums (see `kapps.analysis.register_cost`)."""
        size = math.prod(output_shapes[0])
        return {
            "elementwise": len(input_shapes) * size,
            "additions": (len(input_shapes) - 1) * size,
        }

    def to_keras_layers(self):
        """Returns the sum in Keras's layers, with a weight for each channel of an input. No input is dropped."""
        inputs = [layers.Input(x.shape[1:], dtype=x.dtype) for x in self.input]
        axes = "abcdefgh"[: len(inputs[0].shape) - 1]
        scaled = [
            layers.EinsumDense(f"{axes}z,z->{axes}z", output_shape=tuple(x.shape[1:]), name=f"input{i}")(x)
            for i, x in enumerate(inputs, start=1)
        ]  # fmt: skip
        return keras.Model(inputs, layers.Add(name="sum")(scaled), name=self.name)

    def keras_weights(self):
        """Returns the values of those layers' weights."""
        weights = ops.convert_to_numpy(ops.sigmoid(self.edge_weights))
        return list(np.repeat(weights[:, None], self.input[0].shape[-1], axis=1))
