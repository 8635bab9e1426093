"""The optimizer that Keras has otherwise than its paper, and what does not go together in a training."""

import keras
import tensorflow as tf

_MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


@keras.saving.register_keras_serializable("kapps")
class Lamb(keras.optimizers.Lamb):
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
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        unbiased_mean = mean / (1 - ops.power(ops.cast(self.beta_1, dtype), update))
        unbiased_square = square / (1 - ops.power(ops.cast(self.beta_2, dtype), update))
        step = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon)
        if self._use_weight_decay(variable):
            step = step + (self.weight_decay or 0.0) * variable
            # keras.ops.norm takes no kernel of a convolution: two axes at most.
            norm, step_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, step))
            known = ops.logical_and(norm > 0, step_norm > 0)
            # Both branches of `where` are computed, so the divisor is kept from zero.
            ratio = ops.where(known, norm / ops.where(known, step_norm, 1.0), 1.0)
            step = ratio * step
        self.assign_sub(variable, rate * step)

    def _apply_weight_decay(self, variables):
        """Nothing beside the step: `update_step` decays."""


def check(
    optimizer: keras.optimizers.Optimizer,
    *,
    model: keras.Model | None = None,
    strategy: tf.distribute.Strategy | None = None,
    jit: bool = False,
    steps_per_execution: int = 1,
) -> None:
    """Refuses, before anything is trained, what does not go together in `compile` and `fit`.

    Each was seen to fail, or to train to other weights than one device does, on Keras 3.15 and TensorFlow 2.21.

    Args:
        optimizer: as `compile` gets it.
        model: the one to train; only compiling with XLA asks for it.
        strategy: what the model is built under, None for one device.
        jit: whether `compile` gets `jit_compile=True`.
        steps_per_execution: as `compile` gets it, from 1.

    Raises:
        ValueError: of one line, with what was given and what to do.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    replicas = strategy.num_replicas_in_sync if strategy else 1
    # Keras decides with `cond` whether to update, and TensorFlow refuses to gather replicas, be it one, inside
    # of it: RuntimeError.
    if optimizer.gradient_accumulation_steps and (replicas > 1 or isinstance(strategy, _MIRRORED)):
        raise ValueError(
            f"accumulation={optimizer.gradient_accumulation_steps} does not work under a"
            f" {type(strategy).__name__}: take 1 and a larger batch, or the default strategy"
        )
    if replicas > 1:
        _check_replicas(optimizer, replicas, jit, steps_per_execution)
    if jit and model is not None:
        _check_jit(model)


def _check_replicas(optimizer, replicas, jit, steps_per_execution):
    on = f"on {replicas} replicas"
    # Keras clips what each replica has, a part of the gradient, before it adds the parts up. It trains, but with
    # other steps: up to `replicas` times as long as the limit.
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        limit = getattr(optimizer, name)
        if limit is not None:
            raise ValueError(
                f"{name}={limit} is applied to each replica's part of the gradient {on}, and cuts it elsewhere than"
                " on one device: train without it, or on one device"
            )
    # InvalidArgumentError: a placeholder of the loop is not fed.
    if steps_per_execution > 1:
        raise ValueError(f"steps_per_execution={steps_per_execution} does not work {on}: take 1")
    # InvalidArgumentError: XLA reaches no variable on another device (on CPUs; Keras's "auto" is off for all).
    if jit:
        raise ValueError(f"jit=True does not work {on}: take False, or one device")


def _check_jit(model):
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for layer in model._flatten_layers():
        # XLA has no cuDNN cell: InvalidArgumentError, "No registered 'CudnnRNNV3' OpKernel" (keras issue 18456).
        if gpu and getattr(layer, "use_cudnn", False):
            raise ValueError(
                f"jit=True does not work with {layer.name!r}, which runs in cuDNN: take False,"
                " or build the layer with use_cudnn=False"
            )
        # XLA compiles every time step by itself: minutes for an LSTM of 100 steps.
        if isinstance(layer, keras.layers.RNN) and layer.unroll:
            raise ValueError(
                f"jit=True takes minutes to compile {layer.name!r}, which is unrolled: take False,"
                " or build the layer with unroll=False"
            )
