"""The regularisation term of Pascanu 2013 (arXiv:1211.5063) against vanishing gradients of a recurrent network."""

import keras
import tensorflow as tf
from keras import ops

from kapps._keras_compat import all_layers

SLOPES = {
    "linear": ops.ones_like,
    "relu": lambda states: ops.cast(states > 0, states.dtype),
    "sigmoid": lambda states: states * (1 - states),
    "tanh": lambda states: 1 - ops.square(states),
}
"""The derivatives of activation functions, computed from their outputs."""


def vanishing_gradient_penalty(
    states, gradients, kernel, activation: str = "tanh"
) -> keras.KerasTensor:
    """Returns Omega, which is 0 if gradients keep their norm from each time step of a network to the one before.

    With a_k = h_{k-1} W + (input) + b and h_k = activation(a_k),

        Omega = sum over k of (|dE/da_{k+1} da_{k+1}/da_k| / |dE/da_{k+1}| - 1)^2.

    Only da_{k+1}/da_k = W^T diag(activation'(a_k)) is a function of W: the states and dE/da_{k+1} are constants, the
    "immediate" derivative of equation (10). A time step that no gradient reaches contributes zero.

    Args:
        states: h, float (batch, time, units).
        gradients: dE/dh through the outputs only, not through later states, float (batch, time, units): the gradient
            that a tape returns for the sequence of a recurrent layer. Its scale does not matter.
        kernel: W, float (units, units).
        activation: one of `SLOPES`.

    Returns:
        A float32 scalar, the mean over the batch.

    Raises:
        ValueError: for an activation that is not one of `SLOPES`.

    Source: Pascanu 2013, arXiv:1211.5063, equations (9) and (10).
    """
    if activation not in SLOPES:
        raise ValueError(f"activation={activation!r}: must be one of {', '.join(SLOPES)}")
    states, gradients, kernel = (ops.cast(x, "float32") for x in (states, gradients, kernel))
    states, gradients = ops.stop_gradient(states), ops.stop_gradient(gradients)
    slopes = SLOPES[activation](states)
    later = _backpropagate(gradients, slopes, ops.stop_gradient(kernel))[:, 1:]
    # The square of a tiny gradient is zero in float32, so each one is scaled to a largest component of 1.
    largest = ops.max(ops.abs(later), axis=-1, keepdims=True)
    nonzero = largest > 0
    later = later / ops.where(nonzero, largest, 1.0)
    earlier = ops.matmul(later, ops.transpose(kernel)) * slopes[:, :-1]
    ratio = _norm(earlier) / ops.where(nonzero[..., 0], _norm(later), 1.0)
    terms = ops.where(nonzero[..., 0], ops.square(ratio - 1), 0.0)
    return ops.mean(ops.sum(terms, axis=1))


def _norm(vectors):
    # The square root has no derivative at zero.
    return ops.sqrt(ops.maximum(ops.sum(vectors * vectors, axis=-1), 1e-30))


def _backpropagate(gradients, slopes, kernel):
    """Returns dE/da, (batch, time, units), by backpropagation through time."""

    def step(later, inputs):
        gradient, slope = inputs
        error = slope * (gradient + ops.matmul(later, ops.transpose(kernel)))
        return error, error

    time_major = tuple(ops.transpose(x, (1, 0, 2)) for x in (gradients, slopes))
    _, errors = ops.scan(step, ops.zeros_like(time_major[0][0]), time_major, reverse=True)
    return ops.transpose(errors, (1, 0, 2))


class VanishingGradientModel(keras.Model):
    """Trains a model that has a SimpleRNN under its loss plus `weight` times Omega.

        trained = kapps.training.VanishingGradientModel(model, "rnn", weight=0.5)
        trained.compile(optimizer, loss)
        trained.fit(dataset)
        model.save("model.keras")

    Both models share their weights, and `model` itself is not changed: save and export `model`. The logs of `fit`
    contain "omega", the mean over the last batch. Evaluation does not include it.

    Args:
        model: a functional or sequential model.
        layer: name of its `SimpleRNN`, which returns sequences and has neither a mask nor recurrent dropout.
        weight: weight of Omega next to the loss.

    Raises:
        ValueError: if the equations do not apply to the layer.

    Source: `vanishing_gradient_penalty`.
    """

    def __init__(self, model: keras.Model, layer: str, weight: float = 1.0):
        super().__init__(name=f"{model.name}_vanishing_gradient")
        self.model, self.weight = model, weight
        self.layer = recurrent = model.get_layer(layer)
        if not isinstance(recurrent, keras.layers.SimpleRNN):
            raise ValueError(
                f"{layer!r} is a {type(recurrent).__name__}: Omega is defined for a SimpleRNN"
            )
        _check_recurrent_layer(model, recurrent)
        states = recurrent.output[0] if recurrent.return_state else recurrent.output
        # A sequential model that has not been called has only `inputs` and `outputs`.
        sequential = isinstance(model, keras.Sequential)
        inputs = model.inputs[0] if sequential else model.input
        outputs = model.outputs[0] if sequential else model.output
        self.states_and_outputs = keras.Model(inputs, [states, outputs])

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            states, y_pred = self.states_and_outputs(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        state_gradients, *gradients = tape.gradient(scaled, [states, *(w.value for w in weights)])
        kernel = self.layer.cell.recurrent_kernel
        activation = self.layer.activation.__name__
        with tf.GradientTape() as tape:
            omega = vanishing_gradient_penalty(states, state_gradients, kernel, activation)
            # The gradients of replicas are summed, so each replica contributes its part of the mean.
            scaled = self.optimizer.scale_loss(self.weight * omega / replicas)
        omega_gradient = tape.gradient(scaled, kernel.value)
        gradients = [
            gradient + tf.cast(omega_gradient, gradient.dtype) if weight is kernel else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * replicas, sample_weight=tf.shape(states)[0])
        return {**self.compute_metrics(x, y, y_pred, sample_weight), "omega": omega}


def _check_recurrent_layer(model, layer):
    """Raises ValueError for an option of a SimpleRNN, or a mask, that the equations do not include."""
    activation = layer.activation.__name__
    masked = any(
        isinstance(other, keras.layers.Masking) or getattr(other, "mask_zero", False)
        for other in all_layers(model)
    )
    if not layer.return_sequences:
        reason = "return_sequences=False: use True, and [:, -1] of its output"
    elif layer.recurrent_dropout:
        reason = f"recurrent_dropout={layer.recurrent_dropout}: use 0"
    elif masked:
        reason = "a mask before it: use sequences of one length"
    elif activation not in SLOPES:
        reason = f"activation={activation!r}: use one of {', '.join(SLOPES)}"
    else:
        return
    raise ValueError(f"{layer.name!r} has {reason}")
