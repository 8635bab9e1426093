"""Halting: at each step of a sequence the network itself decides how many of its layers compute.

[1] Graves 2016, arXiv:1603.08983: adaptive computation time
[2] Dehghani 2019, arXiv:1807.03819, section 2.2: the same for each position of a Transformer
[3] Elbayad 2020, arXiv:1910.10073, section 4: the exits of a Transformer's decoder

A halting unit computes a probability p_n at each position after each layer n. [1, 2] halt where the sum of p exceeds
1 - epsilon and mix the outputs of all layers; [3] halt where p exceeds a threshold and keep the last output. All layers
are in the graph, and weights or masks select their outputs, so that files have a fixed graph.
"""

import math

import keras
from keras import ops

from kapps._values import is_number, short
from kapps.layers.multi_head_attention import scores_dtype

MIXTURES = ("recursive", "accumulated")


def halting_weights(p, epsilon=0.01):
    """Returns the weight of each layer's output, the number of layers and the remainder [1, equations 5 to 7].

    N = min {n: p_1 + ... + p_n > 1 - epsilon},  R = 1 - (p_1 + ... + p_(N-1)),  w_n = p_n for n < N,  w_N = R

    If the sum stays below 1 - epsilon, all layers compute, R is 0 and the weights sum to less than 1, as in [2]'s code.

    Args:
        p: halting probabilities, float32 (..., layers).
        epsilon: how far from 1 the sum may be.

    Returns:
        w (..., layers), N (...) and R (...), of the dtype of p.
    """
    total = ops.cumsum(p, axis=-1)
    before = ops.concatenate([ops.zeros_like(p[..., :1]), total[..., :-1]], axis=-1)
    runs = ops.cast(before <= 1 - epsilon, p.dtype)
    halts = runs * ops.cast(total > 1 - epsilon, p.dtype)
    remainder = ops.sum(halts * (1 - before), axis=-1)
    return runs * (1 - halts) * p + halts * (1 - before), ops.sum(runs, axis=-1), remainder


def geometric_distribution(chi):
    """Returns q(n) = chi_n prod_(m<n) (1 - chi_m), and of the last exit the rest [3, equation 12].

    Args:
        chi: halting probabilities of all exits but the last, (..., exits - 1).

    Returns:
        q (..., exits), which sums to 1.
    """
    survives = ops.cumprod(1 - chi, axis=-1)
    one = ops.ones_like(chi[..., :1])
    return ops.concatenate([chi, one], axis=-1) * ops.concatenate([one, survives], axis=-1)


@keras.saving.register_keras_serializable("kapps")
class HaltingUnit(keras.layers.Layer):
    """The halting probability p = sigmoid(w . h + b), in float32 under any policy.

    Input: (batch, time, features). Output: (batch, time, 1). One unit is called after every layer of a network.

    Args:
        bias: initial value of b.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, bias=1.0, **kwargs):
        super().__init__(**kwargs)
        if not is_number(bias):
            raise ValueError(f"{self.name}: bias={short(bias)} is not a finite number")
        self.bias = bias
        self.supports_masking = True

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], 1), initializer="glorot_uniform", name="w", autocast=False
        )
        self.b = self.add_weight(
            shape=(1,), initializer=keras.initializers.Constant(self.bias), name="b", autocast=False
        )

    def call(self, inputs):
        return ops.sigmoid(ops.matmul(ops.cast(inputs, scores_dtype(inputs)), self.w) + self.b)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], 1), scores_dtype(inputs))

    def get_config(self):
        return {**super().get_config(), "bias": self.bias}

    def profile_cost(self, input_shapes, output_shapes):
        """A product with w, a sum and a sigmoid."""
        steps = math.prod(output_shapes[0])
        return {"macs": steps * input_shapes[0][-1], "additions": steps, "elementwise": steps}


@keras.saving.register_keras_serializable("kapps")
class AdaptiveComputationTime(keras.layers.Layer):
    """Mixes the outputs of N layers by their halting probabilities, and adds the ponder cost in training [1, 2].

    With the weights w of `halting_weights`:

    recursive:    y_n = w_n x_n + (1 - w_n) y_(n-1), y_0 = 0: the code of [2]
    accumulated:  y = sum_n w_n x_n: equation 14 of [1]

    Loss: ponder times the mean of N + R over the steps that no mask hides. `keras.Model.losses` has it; metrics of the
    predictions are without it.

    Input: a list of the probabilities p_1, ..., p_N, (batch, time, 1) each, and then the outputs x_1, ..., x_N, (batch,
    time, features) each. Output: (batch, time, features).

    Args:
        epsilon: as for `halting_weights`.
        ponder: weight of the loss; 0 for none.
        mixture: "recursive" or "accumulated".
    """

    pointwise = True
    adds_loss = True  # see `kapps.training.separate_added_losses`

    def __init__(self, epsilon=0.01, ponder=0.01, mixture="recursive", **kwargs):
        super().__init__(**kwargs)
        for option, value, most in (("epsilon", epsilon, 1), ("ponder", ponder, 1e9)):
            if not is_number(value) or not 0 <= value <= most:
                raise ValueError(
                    f"{self.name}: {option}={short(value)} is not a number from 0 to {most:g}"
                )
        if mixture not in MIXTURES:
            raise ValueError(
                f"{self.name}: mixture={short(mixture)} is not one of {', '.join(MIXTURES)}"
            )
        self.epsilon, self.ponder, self.mixture = epsilon, ponder, mixture
        self.autocast = False  # probabilities stay float32
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) % 2:
            raise ValueError(
                f"{self.name}: {len(input_shape)} inputs are not as many probabilities as outputs of layers"
            )
        self.built = True

    def call(self, inputs, training=False, mask=None):
        count = len(inputs) // 2
        outputs = inputs[count:]
        weights, updates, remainder = halting_weights(
            ops.concatenate(inputs[:count], axis=-1), self.epsilon
        )
        if training and self.ponder:
            cost = updates + remainder
            real = None if mask is None else mask[count]
            real = ops.ones_like(cost) if real is None else ops.cast(real, cost.dtype)
            mean = ops.sum(cost * real) / ops.maximum(ops.sum(real), 1.0)
            self.add_loss(self.ponder * mean)
        y, dtype = 0, weights.dtype
        for i, x in enumerate(outputs):
            w = weights[..., i : i + 1]
            old = (1 - w) * y if self.mixture == "recursive" and i else y
            y = w * ops.cast(x, dtype) + old
        return ops.cast(y, outputs[0].dtype)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[len(inputs) // 2]

    def compute_output_spec(self, inputs, training=False, mask=None):
        del training, mask
        x = inputs[len(inputs) // 2]
        return keras.KerasTensor(x.shape, x.dtype)

    def get_config(self):
        options = ("epsilon", "ponder", "mixture")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """For each layer two products and a sum of each value, and some operations on its probability."""
        count, values = len(input_shapes) // 2, math.prod(output_shapes[0])
        steps = values // output_shapes[0][-1]
        return {
            "additions": count * (values + 3 * steps),
            "elementwise": count * (2 * values + 5 * steps),
        }


@keras.saving.register_keras_serializable("kapps")
class HaltingStep(keras.layers.Layer):
    """Keeps the state of the positions that have halted, and halts others [3, section 3.2].

    state = old state where halted, otherwise new state;  halts then where p > threshold

    A halted position keeps its state in all later layers, so that other positions attend to a copy of it.

    Input: a list of the new and the old state, (batch, time, features), p, float (batch, time or 1, 1), and after the
    first step `halted`, float32 (batch, time, 1), 1 for halted positions. Output: the state and `halted`.

    Args:
        threshold: of p.
    """

    pointwise = True

    def __init__(self, threshold=0.5, **kwargs):
        super().__init__(**kwargs)
        if not is_number(threshold):
            raise ValueError(f"{self.name}: threshold={short(threshold)} is not a finite number")
        self.threshold = threshold
        self.autocast = False
        self.supports_masking = True

    def call(self, inputs):
        new, old, p, *halted = inputs
        now = ops.cast(p > self.threshold, "float32") + ops.zeros_like(new[..., :1], "float32")
        if not halted:
            return new, now
        state = ops.where(halted[0] > 0, old, new)
        return state, ops.maximum(halted[0], now)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return [None if mask is None else mask[0], None]

    def compute_output_spec(self, inputs):
        new = inputs[0]
        halted = keras.KerasTensor((*new.shape[:-1], 1), "float32")
        return keras.KerasTensor(new.shape, new.dtype), halted

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}

    def profile_cost(self, input_shapes, output_shapes):
        """A selection of each value, a comparison and a maximum of each position."""
        del input_shapes
        return {"elementwise": math.prod(output_shapes[0]) + 2 * math.prod(output_shapes[1])}
