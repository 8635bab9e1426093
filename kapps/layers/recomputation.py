"""Gradients that compute values again instead of keeping them, for which Keras has no operation."""

import keras


def vector_jacobian_product(function, inputs, dy):
    """Returns y = function(*inputs) and the gradients of sum(y dy) for the inputs, a list, on every backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
        return y, tape.gradient(y, inputs, dy, unconnected_gradients="zero")
    if keras.backend.backend() == "jax":
        import jax

        y, gradient = jax.vjp(function, *inputs)
        return y, list(gradient(dy))
    import torch

    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in inputs]
        y = function(*inputs)
        return y.detach(), list(torch.autograd.grad(y, inputs, dy, materialize_grads=True))


def computed_after(x, values):
    """Returns x, whose users run only when the values of a list have been computed, on every backend.

    Without it a compiled gradient computes the inputs of all layers first, and keeps what all of them need.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.control_dependencies(values):
            return tf.identity(x)
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.optimization_barrier((x, values))[0]
    return x  # PyTorch computes in the order of the calls
