"""Gradients inside other functions, and compiled functions, for which Keras has no operation."""

import keras


def vector_jacobian_product(function, inputs, dy):
    """Returns y = function(*inputs) and the gradients of sum(y dy) for the inputs, a list, on every backend.

    y and dy may be tuples; the sum is that over all of their tensors.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
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
        outputs, weights = (x if isinstance(x, tuple) else (x,) for x in (y, dy))
        connected = [i for i, output in enumerate(outputs) if output.requires_grad]
        outputs, weights = ([values[i] for i in connected] for values in (outputs, weights))
        gradients = torch.autograd.grad(outputs, inputs, weights, materialize_grads=True)
    y = tuple(part.detach() for part in y) if isinstance(y, tuple) else y.detach()
    return y, list(gradients)


def compiled(function, variables):
    """Returns a function of tensors that is compiled for each shape of the tensors; on PyTorch it is only called.

    A compiled function computes no gradients that it does not return: otherwise TensorFlow computes those of the
    kernels together with those of the inputs.

    Args:
        function: of tensors and None, which returns tensors.
        variables: all Keras variables that the function reads. It reads their values again in each call.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False, jit_compile=False)
    if keras.backend.backend() == "jax":
        import jax

        @jax.jit
        def with_values(values, *inputs):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*inputs)

        return lambda *inputs: with_values([variable.value for variable in variables], *inputs)
    import torch

    return torch.no_grad()(function)


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
