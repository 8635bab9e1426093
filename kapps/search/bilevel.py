"""The gradient of a bi-level search: of a validation loss after one training step, by the architecture parameters.

[1] DARTS, Liu 2018, arXiv:1806.09055. The backend is TensorFlow.
"""


def second_order_gradient(train_loss, valid_loss, weights, alphas, rate, epsilon=0.01):
    """Returns the gradient of the validation loss after one training step by `alphas`, to first order in epsilon.

    [1], equations 7 and 8: the weights take a step of gradient descent of size `rate`, and the product with the second
    derivative is a central difference of the gradients at weights that are `epsilon` / |gradient| apart. The weights
    are the same afterwards.

    Args:
        train_loss, valid_loss: functions without arguments of the weights and the alphas.
        weights: list of variables.
        alphas: variable.
        rate: size of the step; [1] takes the learning rate of the weights.
        epsilon: 0.01 in [1].
    """
    import tensorflow as tf

    start = [tf.identity(w) for w in weights]
    with tf.GradientTape() as tape:
        loss = train_loss()
    steps = tape.gradient(loss, weights)
    for w, step in zip(weights, steps, strict=True):
        w.assign_sub(rate * step)
    with tf.GradientTape() as tape:
        loss = valid_loss()
    *vectors, first = tape.gradient(loss, [*weights, alphas])
    scale = epsilon / tf.maximum(tf.linalg.global_norm(vectors), 1e-12)
    gradients = []
    for sign in (1.0, -1.0):
        for w, value, vector in zip(weights, start, vectors, strict=True):
            w.assign(value + sign * scale * vector)
        with tf.GradientTape() as tape:
            loss = train_loss()
        gradients.append(tape.gradient(loss, alphas))
    for w, value in zip(weights, start, strict=True):
        w.assign(value)
    return first - rate * (gradients[0] - gradients[1]) / (2 * scale)
