"""The loops of recurrent layers on TensorFlow, with gradients that form each weight's gradient in one product.

A step computes from x_t, the inputs of all gates projected by the kernel, which is one product of all steps, and from
the states before it. `U` is the recurrent kernel, (units, gates * units), and `b` its bias, if it has one.

A cell of this module has the number of its states, whether the gradients of x_t and of h_{t-1} U + b differ, and:

    step(x, u, states): from x_t and h_{t-1} U + b, the new states, h first, and the tensors that the gradient reads
    gradient(saved, before, after, dy): from the states before and after and the gradients dy of those after, the
        gradients of x_t, of h_{t-1} U + b, and of the states before; that of h is without the part through U, None if
        there is no other part
"""

import tensorflow as tf

PADDING = 16
"""Columns of zeros after a matrix that the loops multiply by. Without them the rows of a matrix of 1,024 columns are at
the same places of a CPU's cache, and the product takes twice as long."""


class SimpleCell:
    """h_t = tanh(x_t + h_{t-1} U)."""

    states, two_gradients = 1, False

    @staticmethod
    def step(x, u, states):
        del states
        return (tf.tanh(x + u),), ()

    @staticmethod
    def gradient(saved, before, after, dy):
        del saved, before
        dz = dy[0] * (1 - tf.square(after[0]))
        return dz, dz, (None,)


class LSTMCell:
    """The gates i, f, g and o, in Keras's order. c_t = f c_{t-1} + i g; h_t = o tanh(c_t)."""

    states, two_gradients = 2, False

    @staticmethod
    def step(x, u, states):
        z = x + u
        units = z.shape[-1] // 4
        z_if, z_g, z_o = tf.split(z, [2 * units, units, units], -1)
        i_f, g, o = tf.sigmoid(z_if), tf.tanh(z_g), tf.sigmoid(z_o)
        i, f = tf.split(i_f, 2, -1)
        c = f * states[1] + i * g
        return (o * tf.tanh(c), c), (i, f, g, o)

    @staticmethod
    def gradient(saved, before, after, dy):
        i, f, g, o = saved
        dh, dc = dy
        tanh_c = tf.tanh(after[1])
        dc += dh * o * (1 - tf.square(tanh_c))
        d_i, d_f = dc * g * i * (1 - i), dc * before[1] * f * (1 - f)
        d_g, d_o = dc * i * (1 - tf.square(g)), dh * tanh_c * o * (1 - o)
        dz = tf.concat([d_i, d_f, d_g, d_o], -1)
        return dz, dz, (None, dc * f)


class GRUCell:
    """The gates z, r and n, in Keras's order, with the reset gate after the product. h_t = z h_{t-1} + (1 - z) n."""

    states, two_gradients = 1, True

    @staticmethod
    def step(x, u, states):
        units = x.shape[-1] // 3
        (x_zr, x_n), (u_zr, u_n) = (tf.split(a, [2 * units, units], -1) for a in (x, u))
        z, r = tf.split(tf.sigmoid(x_zr + u_zr), 2, -1)
        n = tf.tanh(x_n + r * u_n)
        return (n + z * (states[0] - n),), (z, r, n, u_n)

    @staticmethod
    def gradient(saved, before, after, dy):
        del after
        z, r, n, u_n = saved
        d_n = dy[0] * (1 - z) * (1 - tf.square(n))
        d_z = dy[0] * (before[0] - n) * z * (1 - z)
        d_r = d_n * u_n * r * (1 - r)
        dx, du = tf.concat([d_z, d_r, d_n], -1), tf.concat([d_z, d_r, d_n * r], -1)
        return dx, du, (dy[0] * z,)


def run(
    cell, x, kernel, recurrent_kernel, bias, recurrent_bias, states, *, mask=None, reverse=False
):
    """Returns h of all steps, (batch, time, units), and the last states, (batch, units) each.

    Args:
        cell: a cell of this module.
        x: (batch, time, features).
        kernel, recurrent_kernel: (features, gates * units) and (units, gates * units).
        bias, recurrent_bias: (gates * units,), or None.
        states: the first states, (batch, units) each.
        mask: truth values, (batch, time); where one is False, the states stay. None for no mask.
        reverse: whether the steps are computed, and returned, from the last one to the first.
    """  # fmt: skip
    if reverse:
        x, mask = tf.reverse(x, [1]), None if mask is None else tf.reverse(mask, [1])
    (features, width), (length, batch) = kernel.shape, (x.shape[1], x.shape[0])
    x = tf.transpose(x, (1, 0, 2))
    rows = tf.matmul(tf.reshape(x, (-1, features)), kernel)
    rows = rows if bias is None else tf.nn.bias_add(rows, bias)
    x = tf.reshape(rows, tf.concat([tf.shape(x)[:2], [width]], 0))
    x = tf.ensure_shape(x, (length, batch, width))
    mask = None if mask is None else tf.transpose(mask)[:, :, None]
    biases = [] if recurrent_bias is None else [recurrent_bias]
    # A custom gradient cannot take a variable.
    tensors = [tf.convert_to_tensor(value) for value in (recurrent_kernel, *states, *biases)]
    h, *states = _loop(cell, mask)(x, *tensors)
    return tf.transpose(h, (1, 0, 2)), states


def _loop(cell, mask):
    """Returns the function from (x, recurrent kernel, *first states[, bias]) to (h, *last states), time first."""

    @tf.custom_gradient
    def loop(x, kernel, *rest):
        first, bias = rest[: cell.states], rest[cell.states :]
        steps, (units, width) = tf.shape(x)[0], kernel.shape
        wide_kernel = tf.pad(kernel, [[0, 0], [0, PADDING]])
        x_array = _array_of(x)
        mask_array = None if mask is None else _array_of(mask)

        def cell_step(x_t, states):
            u = tf.matmul(states[0], wide_kernel)[:, :width]
            return cell.step(x_t, u + bias[0] if bias else u, states)

        def forward(t, states, all_states, all_saved):
            after, saved = cell_step(x_array.read(t), states)
            if mask is not None:
                here = mask_array.read(t)
                after = [tf.where(here, a, b) for a, b in zip(after, states, strict=True)]
            return (
                t + 1,
                tuple(after),
                _write(all_states, t + 1, after),
                _write(all_saved, t, saved),
            )

        # Only the number and the shapes of the tensors of this step are used.
        _, saved = cell_step(tf.zeros_like(x[0]), first)
        arrays = [_array(steps + 1, state) for state in first]
        arrays = _write(arrays, 0, first), tuple(_array(steps, tensor) for tensor in saved)
        _, last, all_states, all_saved = tf.while_loop(
            lambda t, *_: t < steps, forward, (0, tuple(first), *arrays)
        )
        h = all_states[0].stack()  # the first one too

        def gradient(dh, *d_last):
            dh_array = _array_of(dh)
            wide_transposed = tf.pad(tf.transpose(kernel), [[0, 0], [0, PADDING]])

            def backward(t, dy, after, arrays):
                dy = [dy[0] + dh_array.read(t), *dy[1:]]
                before = tuple(array.read(t) for array in all_states)
                passed = [None] * len(dy)
                if mask is not None:
                    here = tf.cast(mask_array.read(t), x.dtype)
                    passed = [(1 - here) * d for d in dy]
                    dy = [here * d for d in dy]
                saved = [array.read(t) for array in all_saved]
                dx, du, d_before = cell.gradient(saved, before, after, dy)
                through = [tf.matmul(du, wide_transposed)[:, :units], *[None] * (len(dy) - 1)]
                d_before = tuple(
                    _sum(parts) for parts in zip(d_before, through, passed, strict=True)
                )
                return t - 1, d_before, before, _write(arrays, t, (dx, du)[: len(arrays)])

            arrays = tuple(_array(steps, x[0]) for _ in range(1 + cell.two_gradients))
            _, d_first, _, arrays = tf.while_loop(
                lambda t, *_: t >= 0, backward, (steps - 1, tuple(d_last), last, arrays)
            )
            dx, *du = [array.stack() for array in arrays]
            rows = tf.reshape(du[0] if du else dx, (-1, width))
            d_kernel = tf.matmul(tf.reshape(h[:-1], (-1, units)), rows, transpose_a=True)
            return dx, d_kernel, *d_first, *(tf.reduce_sum(rows, 0) for _ in bias)

        return (h[1:], *last), gradient

    return loop


def _sum(parts):
    """Returns the sum of the tensors in a list of tensors and None."""
    return sum(part for part in parts if part is not None)


def _array(size, element):
    """Returns an array of tensors like `element`, one for each step."""
    return tf.TensorArray(element.dtype, size, element_shape=element.shape, clear_after_read=False)


def _array_of(tensor):
    """Returns an array of the steps of a tensor."""
    return _array(tf.shape(tensor)[0], tensor[0]).unstack(tensor)


def _write(arrays, t, values):
    """Returns the arrays with one more value each."""
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=True))
