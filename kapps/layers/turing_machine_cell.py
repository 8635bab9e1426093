"""The neural Turing machine as a cell: a controller, and heads that address the rows of a memory.

[1] Graves 2014, arXiv:1410.5401
[2] Collier 2018, arXiv:1807.08518, https://github.com/MarkPKCollier/NeuralTuringMachine
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, is_number, short
from kapps.layers.multi_head_attention import scores_dtype

CONTROLLERS = ("lstm", "feed_forward")
EPSILON = 1e-8
"""Added to the product of norms of the cosine [2]."""
SHIFTS = 3
"""Shifts of -1, 0 and 1 rows."""


def content_weights(memory, key, beta):
    """w_c(i) = softmax_i(beta K(k, M(i))), K the cosine [1, equations 5 and 6].

    Args:
        memory: M, (batch, rows, width).
        key: k, (batch, heads, width).
        beta: (batch, heads, 1).

    Returns:
        w_c, (batch, heads, rows).
    """
    dot = ops.matmul(key, ops.transpose(memory, (0, 2, 1)))
    norms = ops.sqrt(ops.sum(ops.square(key), axis=-1, keepdims=True))
    rows = ops.sqrt(ops.sum(ops.square(memory), axis=-1))
    return ops.softmax(beta * dot / (norms * ops.expand_dims(rows, 1) + EPSILON), axis=-1)


def address(memory, before, key, beta, gate, shift, gamma):
    """Returns the weights of each head, (batch, heads, rows) [1, equations 5 to 9].

    w_g = g w_c + (1 - g) w_(t-1)
    w~(i) = sum_j w_g(i - j) s(j), j = -1, 0, 1, around the ends of the memory
    w(i) = w~(i)^gamma / sum_j w~(j)^gamma

    Args:
        memory: M, (batch, rows, width).
        before: w_(t-1), (batch, heads, rows).
        key, beta, gate, gamma: k, (batch, heads, width), beta, g and gamma, (batch, heads, 1).
        shift: s, (batch, heads, 3): of -1, 0 and 1.
    """
    w = gate * content_weights(memory, key, beta) + (1 - gate) * before
    # Slices and a concatenation: LiteRT has no roll.
    later = ops.concatenate([w[..., 1:], w[..., :1]], axis=-1)  # w_g(i + 1)
    earlier = ops.concatenate([w[..., -1:], w[..., :-1]], axis=-1)  # w_g(i - 1)
    w = shift[..., :1] * later + shift[..., 1:2] * w + shift[..., 2:] * earlier
    w = ops.power(ops.maximum(w, EPSILON), gamma)
    return w / ops.sum(w, axis=-1, keepdims=True)


def read(memory, weights):
    """r = sum_i w(i) M(i) of each head, (batch, heads, width) [1, equation 2]."""
    return ops.matmul(weights, memory)


def write(memory, weights, erase, add):
    """M(i) = M(i) prod_h (1 - w_h(i) e_h) + sum_h w_h(i) a_h [1, equations 3 and 4].

    Args:
        memory: M, (batch, rows, width).
        weights: w, (batch, heads, rows).
        erase, add: e and a, (batch, heads, width).
    """
    for head in range(weights.shape[1]):
        w = ops.expand_dims(weights[:, head], -1)
        memory = memory * (1 - w * erase[:, head : head + 1]) + w * add[:, head : head + 1]
    return memory


@keras.saving.register_keras_serializable("kapps")
class TuringMachineCell(keras.layers.Layer):
    """The cell of a neural Turing machine [1], with the activations of [2].

    h_t = controller(x_t, r_(t-1), h_(t-1))
    k = tanh, beta = softplus, g = sigmoid, s = softmax, gamma = 1 + softplus of one product with h_t for all heads
    w_t = address(M_(t-1), w_(t-1), ...),  r_t = w_t M_(t-1),  M_t = write(M_(t-1), w_t, e = sigmoid, a = tanh)

    All heads address and read the memory before this step's writes [2]. h_t and the products for the heads are clipped
    to +-clip [2]. Memory, weights and reads are float32 under any policy.

    Output: [h_t; r_t], (batch, units + read_heads width). States, all (batch, size): those of the controller; r, with
    read_heads width values; w of the read heads, then of the write heads; M, rows after rows. A state is the difference
    from its first value, so that all states start from zeros, as in every decoding step model.

    Args:
        units: width of the controller.
        rows: number of rows of the memory, N.
        width: width of a row, W.
        read_heads: number of read heads.
        write_heads: number of write heads.
        controller: "lstm", or "feed_forward" for a dense layer with tanh.
        learned: whether the first values of memory, weights and reads are trained [2]. Otherwise the memory is 1e-6,
            the reads are 0 and the weights are on the first row.
        clip: the largest magnitude of the controller's outputs and of the heads' parameters.
    """

    def __init__(
        self, units, rows=128, width=20, read_heads=1, write_heads=1, controller="lstm", learned=False,
        clip=20.0, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        check_argument(self.name, "units", units, int)
        sizes = dict(rows=rows, width=width, read_heads=read_heads, write_heads=write_heads)
        for name, value in sizes.items():
            if not is_integer(value, 1, 2**16):
                raise ValueError(
                    f"{self.name}: {name}={short(value)} is not a positive integer up to 65,536"
                )
        check_argument(self.name, "learned", learned, bool)
        if controller not in CONTROLLERS:
            raise ValueError(
                f"controller is one of {', '.join(CONTROLLERS)}, not {short(controller)}"
            )
        if not is_number(clip) or clip <= 0:
            raise ValueError(f"{self.name}: clip={short(clip)} is not a positive number")
        self.units, self.rows, self.width, self.clip = units, rows, width, clip
        self.read_heads, self.write_heads = read_heads, write_heads
        self.controller, self.learned = controller, learned

    @property
    def heads(self):
        """Number of all heads."""
        return self.read_heads + self.write_heads

    @property
    def state_size(self):
        controller = [self.units] * 2 if self.controller == "lstm" else []
        memory = [self.read_heads * self.width, self.heads * self.rows, self.rows * self.width]
        return controller + memory

    @property
    def state_names(self):
        """The names of the states in decoding."""
        controller = ["h", "c"] if self.controller == "lstm" else []
        return [*controller, "reads", "weights", "memory"]

    @property
    def output_size(self):
        return self.units + self.read_heads * self.width

    def build(self, input_shape):
        features = input_shape[-1] + self.read_heads * self.width
        if self.controller == "lstm":
            self.cell = keras.layers.LSTMCell(self.units, dtype=self.dtype_policy, name="cell")
        else:
            self.cell = keras.layers.Dense(
                self.units, "tanh", dtype=self.dtype_policy, name="dense"
            )
        self.cell.build((None, features))
        parameters = self.heads * (self.width + 3 + SHIFTS) + 2 * self.write_heads * self.width
        options = dict(autocast=False)
        self.head_kernel = self.add_weight(
            shape=(self.units, parameters),
            initializer="glorot_uniform",
            name="head_kernel",
            **options,
        )
        self.head_bias = self.add_weight(
            shape=(parameters,), initializer="zeros", name="head_bias", **options
        )
        if self.learned:
            normal = keras.initializers.RandomNormal(stddev=0.5)
            constant = keras.initializers.Constant(1e-6)
            reads, weights, memory = self.state_size[-3:]
            self.first_reads = self.add_weight(
                shape=(reads,), initializer=normal, name="first_reads", **options
            )
            self.first_weights = self.add_weight(
                shape=(weights,), initializer=normal, name="first_weights", **options
            )
            self.first_memory = self.add_weight(
                shape=(memory,), initializer=constant, name="first_memory", **options
            )
        self.built = True

    def first_values(self):
        """Returns the first reads, weights and memory, one axis each."""
        reads, _, memory = self.state_size[-3:]
        if self.learned:
            weights = ops.reshape(self.first_weights, (self.heads, self.rows))
            weights = ops.reshape(ops.softmax(weights, axis=-1), (-1,))
            return ops.tanh(self.first_reads), weights, self.first_memory
        weights = ops.reshape(ops.one_hot([0] * self.heads, self.rows, dtype="float32"), (-1,))
        return ops.zeros((reads,)), weights, ops.full((memory,), 1e-6)

    def split_parameters(self, z):
        """Returns the parameters of the heads, by name, from their product (batch, parameters)."""
        width, heads, writes = self.width, self.heads, self.write_heads
        z, z_write = z[:, : heads * (width + 6)], z[:, heads * (width + 6) :]
        z = ops.reshape(z, (-1, heads, width + 6))
        z_write = ops.reshape(z_write, (-1, writes, 2 * width))
        addressing = {
            "key": ops.tanh(z[..., :width]),
            "beta": ops.softplus(z[..., width : width + 1]),
            "gate": ops.sigmoid(z[..., width + 1 : width + 2]),
            "shift": ops.softmax(z[..., width + 2 : width + 5], axis=-1),
            "gamma": 1 + ops.softplus(z[..., width + 5 :]),
        }
        return addressing, ops.sigmoid(z_write[..., :width]), ops.tanh(z_write[..., width:])

    def call(self, inputs, states, training=False):
        *controller, reads, weights, memory = states
        dtype = scores_dtype(inputs)
        first = [ops.cast(value, dtype) for value in self.first_values()]
        values = [
            ops.cast(state, dtype) + value
            for state, value in zip((reads, weights, memory), first, strict=True)
        ]
        shapes = [(self.read_heads, self.width), (self.heads, self.rows), (self.rows, self.width)]
        r, w, m = (ops.reshape(x, (-1, *shape)) for x, shape in zip(values, shapes, strict=True))

        r = ops.reshape(r, (-1, self.read_heads * self.width))
        x = ops.concatenate([inputs, ops.cast(r, inputs.dtype)], axis=-1)
        if self.controller == "lstm":
            h, controller = self.cell(x, controller, training=training)
        else:
            h = self.cell(x)
        h = ops.clip(h, -self.clip, self.clip)
        z = ops.matmul(ops.cast(h, dtype), self.head_kernel) + self.head_bias
        addressing, erase, add = self.split_parameters(ops.clip(z, -self.clip, self.clip))
        w = address(m, w, **addressing)
        r = read(m, w[:, : self.read_heads])
        m = write(m, w[:, self.read_heads :], erase, add)

        r = ops.reshape(r, (-1, self.read_heads * self.width))
        output = ops.concatenate([h, ops.cast(r, h.dtype)], axis=-1)
        new = [
            ops.reshape(x, (-1, value.shape[0])) for x, value in zip((r, w, m), first, strict=True)
        ]
        new = [x - value for x, value in zip(new, first, strict=True)]
        old = (reads, weights, memory)
        return output, [*controller, *(ops.cast(x, y.dtype) for x, y in zip(new, old, strict=True))]

    def get_config(self):
        options = (
            "units",
            "rows",
            "width",
            "read_heads",
            "write_heads",
            "controller",
            "learned",
            "clip",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """One step: the controller, the heads' products, addresses, reads and writes."""
        del output_shapes
        batch, features = input_shapes[0]
        width, size = self.width, self.rows * self.width
        gates, recurrent = (4, self.units) if self.controller == "lstm" else (1, 0)
        inputs = features + self.read_heads * width + recurrent
        macs = gates * self.units * inputs + math.prod(self.head_kernel.shape)
        macs += 2 * self.heads * size + 3 * self.heads * self.rows  # cosines and norms; shifts
        macs += self.read_heads * size + 3 * self.write_heads * size
        return {
            "macs": batch * macs,
            "additions": batch * (gates * self.units + self.head_kernel.shape[-1]),
            "elementwise": batch * (5 * self.units + 6 * self.heads * self.rows),
            "reach": "unknown",
        }
