"""The decoder of Show, attend and tell: attention to places of an image before each word, soft or hard.

[1] Xu 2015, Show, attend and tell, arXiv:1502.03044
[2] the authors' code, https://github.com/kelvinxu/arctic-captions

All losses are divided by the number of words of the batch, as Keras's mean loss of the words is. Their ratio to it is
that of [1], whose losses are sums over a caption.
"""

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_number, short
from kapps.layers.attention_cells import AttendingCell
from kapps.layers.attention_rnn import AttentionRNN
from kapps.layers.encoder_decoder_attention import Alignment
from kapps.layers.multi_head_attention import masked_softmax

SMALLEST = 1e-8
"""The smallest weight whose logarithm is computed."""
SHARE_OF_SAMPLES = 0.5
"""The fraction of the batches in which hard attention samples [1, section 4.1]; the others have the soft mean."""


@keras.saving.register_keras_serializable("kapps")
class AnnotationAttention(Alignment):
    """The weights of the annotation vectors a_i for a state h, by an additive score with several layers [1, 2].

    p_i = tanh(.. tanh((W_c a_i + b_c) W_1 + b_1) ..)    with `layers` - 1 layers after the first, which is linear
    e_i = u^T tanh(p_i + W_d h) + c,  alpha = softmax(e)

    `window="global"` is soft attention: the context is sum_i alpha_i a_i. With `window="hard"` it is in training one
    a_i, sampled from alpha, for whole batches with a probability of one half [1, section 4.1].

    Args:
        layers: number of layers of p.
        units: width of p; None for that of the annotation vectors.
        window: "global" or "hard".
        seed: seed of the samples.
    """

    def __init__(self, layers=2, units=None, window="global", seed=None, **kwargs):
        super().__init__("additive", window, units=units, seed=seed, **kwargs)
        check_argument(self.name, "layers", layers, int)
        if window not in ("global", "hard") or layers < 1:
            raise ValueError(
                f'{self.name}: window={short(window)}, layers={layers}: the window is "global" or "hard", and there is '
                "at least one layer"
            )
        self.layers = layers

    def build(self, query_shape, memory_shape):
        units = self.units or memory_shape[-1]
        self.query_kernel = self.add_weight(shape=(query_shape[-1], units), name="query_kernel")
        self.kernels, self.biases = [], []
        for number in range(1, self.layers + 1):
            rows = units if number > 1 else memory_shape[-1]
            self.kernels.append(self.add_weight(shape=(rows, units), name=f"kernel{number}"))
            bias = self.add_weight(shape=(units,), initializer="zeros", name=f"bias{number}")
            self.biases.append(bias)
        self.v = self.add_weight(shape=(units, 1), name="v")
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")
        self.built = True

    def keys(self, memory):
        """Returns p of a memory, (batch, M, units)."""
        for number, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            memory = ops.matmul(memory, kernel) + bias
            memory = ops.tanh(memory) if number else memory
        return memory

    def scores(self, query, keys):
        scores = super().scores(query, keys)
        return scores + ops.cast(self.bias, scores.dtype)

    def attend(self, query, keys, memory, mask=None, positions=None, noise=None):
        """Returns the context, and alpha; with noise alpha and the sample next to each other, (batch, D, 2 M)."""
        del positions
        scores = self.scores(query, keys)
        mask = None if mask is None else ops.expand_dims(ops.cast(mask, "bool"), 1)
        alpha = masked_softmax(scores, mask)
        if noise is None:
            return ops.matmul(ops.cast(alpha, memory.dtype), memory), alpha
        sampled, is_sample = noise[..., :-1], noise[..., -1:]
        sample = ops.argmax(ops.log(ops.maximum(alpha, SMALLEST)) + sampled, axis=-1)
        sample = is_sample * ops.one_hot(sample, ops.shape(alpha)[-1], dtype=alpha.dtype)
        used = sample + (1 - is_sample) * alpha
        context = ops.matmul(ops.cast(used, memory.dtype), memory)
        return context, ops.concatenate([alpha, sample], axis=-1)

    def noise(self, batch, queries, inputs):
        """Returns Gumbel noise, and 1 in batches that are sampled, otherwise 0: (batch, queries, inputs + 1)."""
        noise = super().noise(batch, queries, inputs)
        is_sample = keras.random.uniform((), dtype="float32", seed=self.generator)
        is_sample = ops.cast(is_sample < SHARE_OF_SAMPLES, noise.dtype)
        return ops.concatenate([noise, is_sample + ops.zeros_like(noise[..., :1])], axis=-1)

    def get_config(self):
        config = super().get_config()
        for option in ("score", "width", "use_bias"):
            config.pop(option)
        return {**config, "layers": self.layers}

    def profile_cost(self, input_shapes, output_shapes):
        """Products of queries, memory, and each query with each input (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, d, p), (_, m, k) = input_shapes[:2]
        units = self.units or k
        projections = m * (k + (self.layers - 1) * units) * units + d * p * units
        return {
            "macs": batch * (projections + d * m * (units + k)),
            "additions": batch * d * m * (units + 1),
            "elementwise": batch * (d * m * (units + 2) + m * (self.layers - 1) * units),
            "reach": "unknown",
        }


@keras.saving.register_keras_serializable("kapps")
class GatedContextCell(AttendingCell):
    """Attends with the state before the step; the step reads the context times a gate [1, sections 3.1.2 and 4.2.1].

    alpha_t = attention(a, h_{t-1}),  beta_t = sigmoid(w^T h_{t-1} + b),  z_t = beta_t sum_i alpha_ti a_i
    h_t = LSTM([E y_{t-1}; z_t], h_{t-1})

    Output: [h_t; z_t], (batch, units + K).
    """

    extra_state_sizes = ()

    def build(self, input_shape, memory_shape):
        self.output_size = self.output_width + memory_shape[-1]
        self.build_parts(input_shape[-1] + memory_shape[-1], memory_shape)
        self.gate_kernel = self.add_weight(shape=(self.output_width, 1), name="gate_kernel")
        self.gate_bias = self.add_weight(shape=(1,), initializer="zeros", name="gate_bias")
        self.built = True

    def step(self, y, states, memory, training):
        """Returns the output, the new states and the weights."""
        cell_states = states[: len(self.cell_state_sizes)]
        before = cell_states[-len(keras.tree.flatten(self.cells[-1].state_size))]
        context, a, next_position = self.attend(before, states, memory)
        beta = ops.sigmoid(ops.matmul(before, self.gate_kernel) + self.gate_bias)
        z = beta * context
        h, new_states = self.step_cells(ops.concatenate([y, z], axis=-1), cell_states, training)
        return ops.concatenate([h, z], axis=-1), new_states + next_position, a


@keras.saving.register_keras_serializable("kapps")
class CaptionDecoder(AttentionRNN):
    """Runs a `GatedContextCell` over a caption, and adds the losses of its attention in training.

    L_d = penalty sum_i (1 - sum_t alpha_ti)^2                  doubly stochastic attention [1, equation 14]
    L_e = -entropy sum_t H(alpha_t)                             hard attention only [1, section 4.1]

    The losses are sums over a caption, added up over the batch and divided by its number of words.

    Call: as of `AttentionRNN`. Output: h (batch, time, units) and z (batch, time, K), and with hard attention log_p
    (batch, time, 1), the log-probability of the sampled place, 0 where there is no sample. With
    return_attention_scores=True also alpha, float32 (batch, time, M).

    Args:
        cell: a `GatedContextCell`.
        penalty: weight of L_d, lambda of [1]; 0 for none.
        entropy: weight of L_e, lambda_e of [1].
        **kwargs: as for `keras.layers.RNN`.
    """

    adds_loss = True  # see `kapps.training.separate_added_losses`

    def __init__(self, cell, penalty=1.0, entropy=0.002, **kwargs):
        super().__init__(cell, **{**kwargs, "return_sequences": True})
        for option, value in (("penalty", penalty), ("entropy", entropy)):
            if not is_number(value) or value < 0:
                raise ValueError(f"{self.name}: {option}={short(value)} is not a number from 0")
        self.penalty, self.entropy = penalty, entropy

    @property
    def is_hard(self):
        """Whether the attention is hard."""
        return self.cell.attention.window == "hard"

    def call(
        self, sequences, memory, initial_state=None, mask=None, sequences_mask=None, memory_mask=None,
        return_attention_scores=False, training=False,
    ):  # fmt: skip
        mask = sequences_mask if mask is None else mask
        outputs, weights = super().call(
            sequences, memory, initial_state=initial_state, mask=mask, memory_mask=memory_mask,
            return_attention_scores=True, training=training,
        )  # fmt: skip
        places = ops.shape(memory)[1]
        alpha = weights[..., :places]
        log_p = ops.zeros_like(outputs[..., :1])
        if training:
            is_word = ops.ones_like(alpha[..., 0]) if mask is None else ops.cast(mask, alpha.dtype)
            words = ops.maximum(ops.sum(is_word), 1.0)
            self.add_loss(self.attention_losses(alpha, ops.expand_dims(is_word, -1)) / words)
            if self.is_hard:
                log_p = ops.sum(weights[..., places:] * log(alpha), axis=-1, keepdims=True)
        outputs = self.split(outputs, log_p)
        return (*outputs, alpha) if return_attention_scores else outputs

    def split(self, outputs, log_p):
        """Returns the output of the layer from [h; z] of all steps."""
        h, z = ops.split(outputs, [self.cell.output_width], axis=-1)
        return (h, z, log_p) if self.is_hard else (h, z)

    def attention_losses(self, alpha, is_word):
        """Returns L_d + L_e of a batch of weights (batch, time, M), and of (batch, time, 1), 1 at words."""
        totals = ops.sum(alpha * is_word, axis=1)
        loss = self.penalty * ops.sum(ops.square(1 - totals))
        if self.is_hard:
            loss = loss + self.entropy * ops.sum(alpha * log(alpha) * is_word)
        return loss

    def compute_mask(self, sequences, mask=None):
        del sequences
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return [mask] * (3 if self.is_hard else 2)

    def decoding_step(self, x, position, state, memory):
        output, new_state = super().decoding_step(x, position, state, memory)
        return self.split(output, ops.zeros_like(output[..., :1])), new_state

    def compute_output_spec(
        self, sequences, memory, *args, return_attention_scores=False, **kwargs
    ):
        del args, kwargs
        widths = [self.cell.output_width, memory.shape[-1], 1][: 3 if self.is_hard else 2]
        steps = sequences.shape[:2]
        outputs = [keras.KerasTensor((*steps, width), self.compute_dtype) for width in widths]
        if return_attention_scores:
            outputs.append(keras.KerasTensor((*steps, memory.shape[1]), "float32"))
        return tuple(outputs)

    def get_config(self):
        return {**super().get_config(), "penalty": self.penalty, "entropy": self.entropy}

    def profile_cost(self, input_shapes, output_shapes):
        """That of an `AttentionRNN`, and a gate for each step and value of the context."""
        cost = super().profile_cost(input_shapes, output_shapes)
        (batch, steps, _), (_, _, width) = input_shapes[:2]
        return {**cost, "elementwise": cost["elementwise"] + batch * steps * (width + 1)}


def log(x):
    """Returns the logarithm of weights, also where they are 0."""
    return ops.log(ops.maximum(x, SMALLEST))
