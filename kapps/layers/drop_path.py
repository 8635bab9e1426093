"""Drop path: training drops the output of a branch for some examples."""

import keras
from keras import layers, ops

from kapps._checked import check_argument


def keep_examples(x, rate, seed_generator):
    """Returns 1 / (1 - rate) for the examples of x that are kept, and 0 for a fraction `rate`: (batch, 1, ...)."""
    shape = (ops.shape(x)[0], *[1] * (len(x.shape) - 1))
    sampled = keras.random.uniform(shape, dtype="float32", seed=seed_generator)
    return ops.cast(ops.cast(sampled >= rate, "float32") / (1.0 - rate), x.dtype)


@keras.saving.register_keras_serializable("kapps")
class DropPath(layers.Layer):
    """Sets all values of some examples to zero in training, and divides the others by the fraction that is kept.

    With `steps` the rate rises linearly from 0 in the first training step to `rate` after `steps` of them, and stays
    there: the scheduled drop path of NASNet (Zoph 2017, arXiv:1707.07012). The seed generator of the layer counts its
    calls in training. The checkpoints of `kapps.training` hold its state and continue the schedule; a `.keras` file
    does not hold it, and the schedule starts again. Inference returns the inputs.

    Input and output: (batch, ...), any floating dtype.

    Args:
        rate: fraction of the examples that is dropped, in [0, 1).
        steps: training steps in which the rate rises; None for the full rate from the first step.
        seed: seed of the random numbers; None for one that differs with each layer.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `rate` is not in [0, 1) or `steps` is not positive.
    """

    def __init__(self, rate, steps=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"DropPath: rate={rate!r} is not in [0, 1)")
        check_argument(self.name, "steps", steps, int | None)
        self.rate, self.steps, self.seed = rate, steps, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        rate = self.rate
        if self.steps is not None:
            # Each use of a generator adds 1 to the second number of its state.
            calls = ops.cast(self.seed_generator.state[1], "float32")
            rate = rate * ops.minimum(calls / self.steps, 1.0)
        return inputs * keep_examples(inputs, rate, self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "steps": self.steps, "seed": self.seed}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns no operation: inference returns the inputs (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {"view": True}

    def to_keras_layers(self):
        """Returns Keras's dropout of whole examples. It has no schedule: its rate is the full one from the start."""
        noise_shape = (None, *[1] * (len(self.input.shape) - 1))
        return layers.Dropout(
            self.rate, noise_shape=noise_shape, seed=self.seed, dtype=self.dtype_policy, name=self.name,
        )  # fmt: skip
