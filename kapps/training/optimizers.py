"""The optimizer that Keras has otherwise than its paper, and what does not go together in a training."""

import keras

from kapps._keras_compat import DecayInsideStep, moments, uses_weight_decay


@keras.saving.register_keras_serializable("kapps")
class Lamb(DecayInsideStep, keras.optimizers.Lamb):
    """LAMB with the weight decay inside the step that is scaled, as in algorithm 2 of its paper.

    Keras decays beside the step, by the whole learning rate. The paper scales step and decay together by
    |w| / |step + decay|, which is well below 1 for a kernel as networks have them (0.17 for one of 3x3x64x64 from
    He's initialisation under gradients of noise), so that Keras takes so much more from the weights for the same
    `weight_decay`. What is excluded from the decay takes Adam's step unscaled, as in the implementations of You
    and of Wightman: the norm of a bias that has just left zero says nothing of its scale.

    Args: those of `keras.optimizers.Lamb`.

    Source: You 2019, arXiv:1904.00962.
    """

    def update_step(self, gradient, variable, learning_rate):
        ops = keras.ops
        dtype = variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        update = ops.cast(self.iterations + 1, dtype)
        mean, square = moments(self, variable)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        unbiased_mean = mean / (1 - ops.power(ops.cast(self.beta_1, dtype), update))
        unbiased_square = square / (1 - ops.power(ops.cast(self.beta_2, dtype), update))
        step = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon)
        if uses_weight_decay(self, variable):
            step = step + (self.weight_decay or 0.0) * variable
            # keras.ops.norm takes no kernel of a convolution: two axes at most.
            norm, step_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, step))
            known = ops.logical_and(norm > 0, step_norm > 0)
            # Both branches of `where` are computed, so the divisor is kept from zero.
            ratio = ops.where(known, norm / ops.where(known, step_norm, 1.0), 1.0)
            step = ratio * step
        self.assign_sub(variable, rate * step)
