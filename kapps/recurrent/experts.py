"""Mixtures of experts between recurrent layers: many small networks, of which each step asks a few.

[1] Shazeer 2017, arXiv:1701.06538: equations (1) to (11); the networks of Appendix C.1 and Table 7

Departures from [1]:
- Every expert computes every step, by two products, and those that are not chosen weigh nothing: exact, without
  sorting, in any backend, but with as many operations as there are experts, not k. Shazeer's 256 experts cost here 64
  times the paper's operations; parameters, outputs and losses are the paper's.
- The noise's deviation is 0.01 larger, as in the authors' code (tensor2tensor): what it divides never vanishes.
- Its vocabulary has 793,471 words; the table's is the Penn Treebank's of 10,000.
"""

import math

import keras
from keras import layers, ops

from kapps.recurrent import stacks
from kapps.variants import sequences, variant


@keras.saving.register_keras_serializable("kapps")
class SparseExperts(layers.Layer):
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

    pointwise = True  # for `kapps.recurrent.stepping`

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


@sequences(shape=(None,), vocabulary=10_000)
def mixture_of_experts(
    x, *, vocabulary, experts, k=4, units=512, hidden=1024, cell="lstm", dropout=0.1
):
    """A recurrent layer, a mixture of experts that each step asks by itself, and a recurrent layer [1].

    Each layer's output is dropped in part, and then its input is added; a sigmoid follows the experts.

    Args:
        x: tokens.
        vocabulary: how many there are.
        experts: how many stand between the recurrent layers.
        k: how many of them each step asks.
        units: width of the embedding, of the recurrent layers and of what the experts read and answer.
        hidden: width of each expert's hidden layer.
        cell: of the recurrent layers (see `kapps.recurrent.stacks.layer`).
        dropout: share of each layer's outputs that training drops.
    """  # fmt: skip
    x = layers.Embedding(vocabulary, units, mask_zero=True, name="embedding")(x)
    x = layers.Dropout(dropout, name="embedding_dropout")(x)
    x = _residual(x, stacks.recurrent(x, units, cell=cell, name="layer1"), "layer1", dropout)
    y = SparseExperts(experts, k, hidden=hidden, name="layer2")(x)
    x = _residual(x, layers.Activation("sigmoid", name="layer2_sigmoid")(y), "layer2", dropout)
    return _residual(x, stacks.recurrent(x, units, cell=cell, name="layer3"), "layer3", dropout)


def _residual(below, x, name, dropout):
    x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return layers.Add(name=f"{name}_add")([below, x])


SHAZEER = "arXiv:1701.06538"
# fmt: off
#                                                             Table 7 without embedding and softmax: 8.4M, 37.8M, 272.9M
moe4 = variant(mixture_of_experts, "moe4", experts=4, k=4, paper=SHAZEER, params=18_646_800)
moe32 = variant(mixture_of_experts, "moe32", experts=32, k=4, paper=SHAZEER, params=48_035_600)
moe256 = variant(mixture_of_experts, "moe256", experts=256, k=4, paper=SHAZEER, params=283_146_000)
# fmt: on
