"""Sparsely gated mixtures of experts.

[1] Shazeer 2017, arXiv:1701.06538: equations (1) to (11)

Departures from [1]:
- Every expert computes every step, by two products, and those that are not chosen weigh nothing: exact, without
  sorting, in any backend, but with as many operations as there are experts, not k. Shazeer's 256 experts cost here 64
  times the paper's operations; parameters, outputs and losses are the paper's.
- The noise's deviation is 0.01 larger, as in the authors' code (tensor2tensor): what it divides never vanishes.
"""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class SparseMixtureOfExperts(layers.Layer):
    """Feed-forward networks, of which a gate chooses `k` for each vector [1].

    y = sum_i G(x)_i E_i(x),  E_i(x) = relu(x W1_i) W2_i                                    (1)
    G(x) = softmax(keep_top_k(H(x), k)),  where what is not kept is -infinity               (3, 5)
    H(x)_i = (x W_g)_i + N(0, 1) softplus((x W_noise)_i)                                    (4)
    importance_i = sum_x G(x)_i,  L_importance = w CV(importance)^2                         (6, 7)
    P(x, i) = Phi(((x W_g)_i - kth_excluding(H(x), k, i)) / softplus((x W_noise)_i))        (9)
    load_i = sum_x P(x, i),  L_load = w CV(load)^2                                          (10, 11)

    P is the chance that expert i is chosen when its noise alone is drawn again, Phi the normal distribution's, CV
    the deviation over the mean. Noise and losses belong to training alone; W_g and W_noise begin at zero, so that
    all experts are asked equally. Steps that a mask hides are in neither loss. Gates compute in float32.

    Input: (batch, ..., features). Output: (batch, ..., units).

    Args:
        experts: how many.
        k: how many of them each vector asks, fewer than there are where their load counts.
        units: width of the output; None for the input's.
        hidden: width of each expert's hidden layer.
        importance: weight of L_importance, w.
        load: weight of L_load.
        seed: of the noise.

    Raises:
        ValueError: for a k that is no number from 1 to `experts`.
    """

    pointwise = True  # for `kapps.generation.step_models`

    def __init__(
        self,
        experts,
        k=4,
        *,
        units=None,
        hidden=1024,
        importance=0.1,
        load=0.1,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 1 <= k <= experts:
            raise ValueError(
                f"{self.name}: k is from 1 to {experts}, the number of experts, not {k}"
            )
        self.experts, self.k, self.units, self.hidden = experts, k, units, hidden
        self.importance, self.load, self.seed = importance, load, seed
        self.noise = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape):
        features = input_shape[-1]
        gates = dict(shape=(features, self.experts), initializer="zeros", autocast=False)
        self.gate = self.add_weight(name="gate", **gates)
        self.gate_noise = self.add_weight(name="gate_noise", **gates)
        out = self.units or features
        self.kernel1 = self.kernels("kernel1", features, self.hidden)
        self.kernel2 = self.kernels("kernel2", self.hidden, out)

    def kernels(self, name, rows, columns):
        """Adds a matrix of each expert, drawn as a dense layer's of that size would be."""
        bound = (6 / (rows + columns)) ** 0.5
        drawn = keras.initializers.RandomUniform(-bound, bound)
        return self.add_weight(shape=(self.experts, rows, columns), initializer=drawn, name=name)

    def call(self, inputs, training=False, mask=None):
        x = ops.cast(inputs, "float32")
        clean = ops.matmul(x, self.gate)
        if training:
            deviation = ops.softplus(ops.matmul(x, self.gate_noise)) + 0.01
            h = clean + keras.random.normal(ops.shape(clean), seed=self.noise) * deviation
        else:
            h = clean
        chosen = ops.top_k(h, self.k)[1]
        chosen = ops.sum(ops.one_hot(chosen, self.experts, dtype="float32"), axis=-2)
        gates = ops.softmax(h - (1 - chosen) * 1e9)  # beside the others, exp(-1e9) is 0 exactly
        if training:
            self.add_loss(self.imbalance(clean, h, deviation, chosen, gates, mask))
        hidden = ops.relu(ops.einsum("...f,efh->...eh", inputs, self.kernel1))
        hidden = hidden * ops.expand_dims(ops.cast(gates, hidden.dtype), -1)
        return ops.einsum("...eh,ehu->...u", hidden, self.kernel2)

    def imbalance(self, clean, h, deviation, chosen, gates, mask):
        """Returns L_importance + L_load of a batch."""
        of = dict(axis=tuple(range(len(h.shape) - 1)))
        real = 1.0 if mask is None else ops.expand_dims(ops.cast(mask, "float32"), -1)
        loss = self.importance * variation(ops.sum(gates * real, **of))
        if self.k == self.experts:  # each is chosen always
            return loss
        highest = ops.top_k(h, self.k + 1)[0]
        # Without expert i, the kth is the next one where i is among the highest k.
        others = ops.where(chosen > 0, highest[..., self.k :], highest[..., self.k - 1 : self.k])
        chance = 0.5 * (1 + ops.erf((clean - others) / deviation / 2**0.5))
        return loss + self.load * variation(ops.sum(chance * real, **of))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units or input_shape[-1])

    def get_config(self):
        own = ("experts", "k", "units", "hidden", "importance", "load", "seed")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}

    def profile_cost(self, input_shapes, output_shapes):
        """Of all experts and of the gate, a softmax with what chooses among them as four operations each."""
        *steps, features = input_shapes[0]
        steps, units = math.prod(steps), output_shapes[0][-1]
        expert = features * self.hidden + self.hidden * units
        elementwise = self.experts * (4 + 2 * self.hidden)
        return {
            "macs": steps * self.experts * (features + expert),
            "elementwise": steps * elementwise,
        }


def variation(x):
    """Returns the square of the coefficient of variation of some positive numbers, CV(x)^2."""
    return ops.var(x) / (ops.square(ops.mean(x)) + 1e-10)
