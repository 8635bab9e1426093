"""Optimizers that differ in Keras from their papers."""

import keras
from keras import ops

from kapps._keras_compat import DecayInsideStep, moments, uses_weight_decay


@keras.saving.register_keras_serializable("kapps")
class Lamb(DecayInsideStep, keras.optimizers.Lamb):
    """LAMB with weight decay inside the scaled step, as in algorithm 2 of its paper [1].

    Keras applies weight decay separately, multiplied by the learning rate only. The paper scales step and decay
    together by |w| / |step + decay|. This ratio is well below 1 for the kernels of a network (0.17 for a 3x3x64x64
    kernel of He's initialisation under gradients of noise), so Keras decays the weights several times as strongly
    with the same `weight_decay`. Variables that are excluded from weight decay get Adam's step unscaled, as in the
    implementations of You and of Wightman: the norm of a bias that has just left zero is not a measure of its scale.

    Args: as for `keras.optimizers.Lamb`.

    [1] You 2019, arXiv:1904.00962
    """

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        learning_rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        update = ops.cast(self.iterations + 1, dtype)
        mean, square = moments(self, variable)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        unbiased_mean = mean / (1 - ops.power(ops.cast(self.beta_1, dtype), update))
        unbiased_square = square / (1 - ops.power(ops.cast(self.beta_2, dtype), update))
        step = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon)
        if uses_weight_decay(self, variable):
            step = step + (self.weight_decay or 0.0) * variable
            # Not keras.ops.norm, which takes at most two axes: the kernel of a convolution has four.
            norm, step_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, step))
            positive = ops.logical_and(norm > 0, step_norm > 0)
            # `where` computes both branches, so the divisor must not be zero.
            ratio = ops.where(positive, norm / ops.where(positive, step_norm, 1.0), 1.0)
            step = ratio * step
        self.assign_sub(variable, learning_rate * step)
