"""The vanishing gradients of a simple recurrent network as a penalty beside its loss."""

import keras
import tensorflow as tf

from kapps._keras_compat import all_layers

SLOPES = {
    "linear": keras.ops.ones_like,
    "relu": lambda states: keras.ops.cast(states > 0, states.dtype),
    "sigmoid": lambda states: states * (1 - states),
    "tanh": lambda states: 1 - keras.ops.square(states),
}
"""The derivatives of activations, from what the activations gave."""


def vanishing_gradient_penalty(states, gradients, kernel, activation: str = "tanh"):
    """Returns Omega, 0 where gradients keep their norm from each step of a recurrent network to the one before.

    With a_k = h_{k-1} W + (input) + b and h_k = activation(a_k),

        Omega = sum over k of (|dE/da_{k+1} da_{k+1}/da_k| / |dE/da_{k+1}| - 1)^2,

    of which only da_{k+1}/da_k = W^T diag(activation'(a_k)) is a function of W: states and dE/da_{k+1} are taken
    as constant, the "immediate" derivative of equation (10). A step that no error reaches adds nothing.

    Args:
        states: h, floats [batch, time, units].
        gradients: dE/dh through the outputs alone, not through later states, floats [batch, time, units]: what a
            tape gives for the sequence that a recurrent layer returns. Its scale does not matter.
        kernel: W, floats [units, units].
        activation: one of `SLOPES`.

    Returns:
        A float32 scalar, the mean over the batch.

    Raises:
        ValueError: for an activation there is no slope of.

    Source: Pascanu 2013, arXiv:1211.5063, equations (9) and (10).
    """
    if activation not in SLOPES:
        raise ValueError(f"activation={activation!r}: take one of {', '.join(SLOPES)}")
    ops = keras.ops
    states, gradients, kernel = (ops.cast(x, "float32") for x in (states, gradients, kernel))
    states, gradients = ops.stop_gradient(states), ops.stop_gradient(gradients)
    slopes = SLOPES[activation](states)
    later = _errors(gradients, slopes, ops.stop_gradient(kernel))[:, 1:]
    # What has all but vanished squares to zero in float32: each error is taken for itself, with 1 as its greatest part.
    greatest = ops.max(ops.abs(later), axis=-1, keepdims=True)
    reached = greatest > 0
    later = later / ops.where(reached, greatest, 1.0)
    earlier = ops.matmul(later, ops.transpose(kernel)) * slopes[:, :-1]
    ratio = _norm(earlier) / ops.where(reached[..., 0], _norm(later), 1.0)
    terms = ops.where(reached[..., 0], ops.square(ratio - 1), 0.0)
    return ops.mean(ops.sum(terms, axis=1))


def _norm(vectors):
    # The root has no derivative at zero.
    return keras.ops.sqrt(keras.ops.maximum(keras.ops.sum(vectors * vectors, axis=-1), 1e-30))


def _errors(gradients, slopes, kernel):
    """Returns dE/da, [batch, time, units]: backpropagation through time."""
    ops = keras.ops

    def step(later, at):
        gradient, slope = at
        error = slope * (gradient + ops.matmul(later, ops.transpose(kernel)))
        return error, error

    by_time = tuple(ops.transpose(x, (1, 0, 2)) for x in (gradients, slopes))
    _, errors = ops.scan(step, ops.zeros_like(by_time[0][0]), by_time, reverse=True)
    return ops.transpose(errors, (1, 0, 2))


class VanishingGradientModel(keras.Model):
    """Trains a model with a simple recurrent layer under the task's loss and `weight` times Omega.

        trained = kapps.training.VanishingGradientModel(model, "rnn", weight=0.5)
        trained.compile(optimizer, loss)
        trained.fit(dataset)
        model.save("model.keras")

    Both share their weights, and `model` stays as it was, so that is the one to save and export. Omega, the mean
    over the last batch, stands as `omega` among what `fit` logs; evaluation is the model's own.

    Args:
        model: a functional or sequential model.
        layer: the name of its `SimpleRNN`, which returns its sequence, without mask and recurrent dropout.
        weight: of Omega beside the loss.

    Raises:
        ValueError: for a layer that the equations are not of.

    Source: `vanishing_gradient_penalty`.
    """

    def __init__(self, model: keras.Model, layer: str, weight: float = 1.0):
        super().__init__(name=f"{model.name}_vanishing_gradient")
        self.model, self.weight = model, weight
        self.layer = recurrent = model.get_layer(layer)
        if not isinstance(recurrent, keras.layers.SimpleRNN):
            raise ValueError(
                f"{layer!r} is a {type(recurrent).__name__}: Omega is that of a SimpleRNN"
            )
        activation = recurrent.activation.__name__
        masked = any(
            isinstance(other, keras.layers.Masking) or getattr(other, "mask_zero", False)
            for other in all_layers(model)
        )
        for refused, why in (
            (
                not recurrent.return_sequences,
                "return_sequences=False: take True, and [:, -1] of it",
            ),
            (
                recurrent.recurrent_dropout,
                f"recurrent_dropout={recurrent.recurrent_dropout}: take 0",
            ),
            (masked, "a mask before it: take sequences of one length"),
            (
                activation not in SLOPES,
                f"activation={activation!r}: take one of {', '.join(SLOPES)}",
            ),
        ):
            if refused:
                raise ValueError(f"{layer!r} has {why}")
        states = recurrent.output[0] if recurrent.return_state else recurrent.output
        # A sequential model that has not been called yet has these lists alone.
        single = isinstance(model, keras.Sequential)
        inputs, outputs = (
            (model.inputs[0], model.outputs[0]) if single else (model.input, model.output)
        )
        self.observed = keras.Model(inputs, [states, outputs])

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            states, y_pred = self.observed(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        sequence, *gradients = tape.gradient(scaled, [states, *(w.value for w in weights)])
        kernel = self.layer.cell.recurrent_kernel
        with tf.GradientTape() as tape:
            omega = vanishing_gradient_penalty(
                states, sequence, kernel, self.layer.activation.__name__
            )
            # Replicas' gradients are added up, and their losses are shares of the mean.
            scaled = self.optimizer.scale_loss(self.weight * omega / replicas)
        push = tape.gradient(scaled, kernel.value)
        gradients = [
            g + tf.cast(push, g.dtype) if w is kernel else g
            for g, w in zip(gradients, weights, strict=True)
        ]
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * replicas, sample_weight=tf.shape(states)[0])
        return {**self.compute_metrics(x, y, y_pred, sample_weight), "omega": omega}
