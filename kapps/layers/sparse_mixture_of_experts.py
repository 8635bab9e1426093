"""The sparsely gated mixture of experts.

[1] Shazeer 2017, arXiv:1701.06538: equations (1) to (11)

Departures from the paper:
- All experts compute all steps, in two products, and those that the gate does not choose have a weight of 0. This is
  exact and needs no sorting on any backend, but its number of operations is that of all experts, not of k: 256
  experts cost 64 times the paper's operations. Parameters, outputs and losses are the paper's.
- The standard deviation of the noise is 0.01 larger, as in the authors' code (tensor2tensor), so that no division is
  by 0.
"""

import math

import keras
from keras import layers, ops

from kapps._values import is_integer, short


@keras.saving.register_keras_serializable("kapps")
class SparseMixtureOfExperts(layers.Layer):
    """Feed-forward networks (experts) and a gate that chooses `k` of them for each vector [1].

    y = sum_i G(x)_i E_i(x),  E_i(x) = relu(x W1_i) W2_i                                    (1)
    G(x) = softmax(keep_top_k(H(x), k)),  where the others are -infinity                    (3, 5)
    H(x)_i = (x W_g)_i + N(0, 1) softplus((x W_noise)_i)                                    (4)
    importance_i = sum_x G(x)_i,  L_importance = w CV(importance)^2                         (6, 7)
    P(x, i) = Phi(((x W_g)_i - kth_excluding(H(x), k, i)) / softplus((x W_noise)_i))        (9)
    load_i = sum_x P(x, i),  L_load = w CV(load)^2                                          (10, 11)

    P is the probability that expert i is chosen if only its noise is sampled again, Phi the cumulative normal
    distribution, CV the standard deviation divided by the mean. Noise and losses are part of training only. W_g and
    W_noise start at zero, so that all experts are chosen equally often. Masked steps are in neither loss. Gates are
    computed in float32.

    Input: (batch, ..., features). Output: (batch, ..., units).

    Args:
        experts: number of experts.
        k: number of experts that the gate chooses for each vector; L_load is 0 if it is all of them.
        units: width of the output; None for the input's.
        hidden: width of each expert's hidden layer.
        importance: weight of L_importance, w.
        load: weight of L_load.
        seed: seed of the noise.

    Raises:
        ValueError: if k is not from 1 to `experts`.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`
    adds_loss = True  # see `kapps.training.separate_added_losses`

    def __init__(
        self, experts, k=4, *, units=None, hidden=1024, importance=0.1, load=0.1, seed=None, **kwargs
    ):  # fmt: skip
        super().__init__(**kwargs)
        for key, value in {"experts": experts, "hidden": hidden, "units": units or 1}.items():
            if not is_integer(value, 1, 2**20):
                raise ValueError(
                    f"{self.name}: {key}={short(value)} is not a positive integer up to {2**20:,}"
                )
        if not is_integer(k, 1, experts):
            raise ValueError(
                f"{self.name}: k is from 1 to {experts}, the number of experts, not {short(k)}"
            )
        self.experts, self.k, self.units, self.hidden = experts, k, units, hidden
        self.importance, self.load, self.seed = importance, load, seed
        self.noise = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape):
        features = input_shape[-1]
        gate_options = dict(shape=(features, self.experts), initializer="zeros", autocast=False)
        self.gate = self.add_weight(name="gate", **gate_options)
        self.gate_noise = self.add_weight(name="gate_noise", **gate_options)
        self.kernel1 = self.add_kernels("kernel1", features, self.hidden)
        self.kernel2 = self.add_kernels("kernel2", self.hidden, self.units or features)

    def add_kernels(self, name, rows, columns):
        """Adds a matrix of each expert, initialised as the kernel of a dense layer of that size."""
        bound = (6 / (rows + columns)) ** 0.5
        initializer = keras.initializers.RandomUniform(-bound, bound)
        return self.add_weight(
            shape=(self.experts, rows, columns), initializer=initializer, name=name
        )

    def call(self, inputs, training=False, mask=None):
        # Gates are computed in float32 at least; `keras.random` and `ops.one_hot` return Keras's floatx by default.
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        x = ops.cast(inputs, dtype)
        clean = ops.matmul(x, self.gate)
        if training:
            deviation = ops.softplus(ops.matmul(x, self.gate_noise)) + 0.01
            noise = keras.random.normal(ops.shape(clean), dtype=dtype, seed=self.noise)
            h = clean + noise * deviation
        else:
            h = clean
        chosen = ops.top_k(h, self.k)[1]
        chosen = ops.sum(ops.one_hot(chosen, self.experts, dtype=dtype), axis=-2)
        gates = ops.softmax(h - (1 - chosen) * 1e9)  # exp(-1e9) is exactly 0
        if training:
            self.add_loss(self.balance_losses(clean, h, deviation, chosen, gates, mask))
        # Matrices of all experts next to each other. An einsum with an ellipsis would copy kernel1 for each step.
        kernel1 = ops.reshape(ops.swapaxes(self.kernel1, 0, 1), (inputs.shape[-1], -1))
        hidden = ops.relu(ops.matmul(inputs, kernel1))
        hidden = hidden * ops.repeat(ops.cast(gates, hidden.dtype), self.hidden, axis=-1)
        return ops.matmul(hidden, ops.reshape(self.kernel2, (self.experts * self.hidden, -1)))

    def balance_losses(self, clean, h, deviation, chosen, gates, mask):
        """Returns L_importance + L_load of a batch."""
        axes = tuple(range(len(h.shape) - 1))
        weights = 1.0 if mask is None else ops.expand_dims(ops.cast(mask, clean.dtype), -1)
        loss = self.importance * squared_variation(ops.sum(gates * weights, axis=axes))
        if self.k == self.experts:  # all experts are always chosen
            return loss
        highest = ops.top_k(h, self.k + 1)[0]
        # kth_excluding: if expert i is among the highest k, the k-th of the others is the one after them.
        excluding = ops.where(chosen > 0, highest[..., self.k :], highest[..., self.k - 1 : self.k])
        p = 0.5 * (1 + ops.erf((clean - excluding) / deviation / 2**0.5))
        return loss + self.load * squared_variation(ops.sum(p * weights, axis=axes))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units or input_shape[-1])

    def get_config(self):
        options = ("experts", "k", "units", "hidden", "importance", "load", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """The cost of all experts and of the gate, whose softmax and choice are four operations for each expert."""
        *steps, features = input_shapes[0]
        steps, units = math.prod(steps), output_shapes[0][-1]
        expert = features * self.hidden + self.hidden * units
        elementwise = self.experts * (4 + 2 * self.hidden)
        return {
            "macs": steps * self.experts * (features + expert),
            "elementwise": steps * elementwise,
        }


def squared_variation(x):
    """Returns the square of the coefficient of variation of positive numbers, CV(x)^2."""
    return ops.var(x) / (ops.square(ops.mean(x)) + 1e-10)
