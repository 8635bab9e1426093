"""Adaptive attention span: each head learns how many steps back it attends.

[1] Sukhbaatar 2019, arXiv:1905.07799
[2] their code, https://github.com/facebookresearch/adaptive-span
"""

import math
import types

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps._keras_compat import first_mask
from kapps._values import is_number, short
from kapps.layers.multi_head_attention import scores_dtype, soft_masked_softmax
from kapps.layers.relative_position_scores import check_steps, check_width

LEAST_BLOCK, MOST_BLOCK = 32, 512
"""The least and the most queries that attend at a time, by default."""


@keras.saving.register_keras_serializable("kapps")
class UnitInterval(keras.constraints.Constraint):
    """Keeps weights in [0, 1]."""

    def __call__(self, w):
        return ops.clip(w, 0.0, 1.0)


@keras.saving.register_keras_serializable("kapps")
class AdaptiveSpanAttention(layers.Layer):
    """Causal attention to the steps before each step, with a learned span z in each head [1].

    s_x = q_t . (k_(t-x) + p_x) / d^(1/2),  x = 1 to S,  and 0 for k and v before the first step
    m_z(x) = clip((R + z - (x - 1)) / R, 0, 1),  z = S v,  v in [0, 1] trained
    a_x = m_z(x) exp(s_x) / sum_y m_z(y) exp(s_y),  y_t = sum_x a_x v_(t-x)

    As in [2], a step does not attend to itself, and steps before the first one, like masked steps, have keys and
    values of zero and take part in the sum. A constraint keeps v in [0, 1]. In training, the layer adds the loss
    `span_loss` S mean(v).

    Attention is computed in blocks of queries, each with the steps that it reaches, so time and memory grow with time
    times S. Scores and weights are float32 at least. In decoding, the state is the keys and values of the last S steps;
    `kapps.layers.freeze_spans` reduces them to the largest span plus the ramp.

    Input: [queries, keys, values, position scores]: three times (batch, time, heads d), and (batch, time, heads, at
    least S) of `RelativePositionScores`. Output: (batch, time, heads d). Weight: `v`, (heads,).

    Args:
        heads: number of heads.
        span: S, the largest span in steps.
        ramp: R, the number of steps over which a span ends.
        initial_span: initial value of v, in [0, 1].
        span_loss: weight of the loss, lambda; 0 for none.
        limit: number of steps back that a layer with frozen spans reaches; None for S, and spans that are trained.
        block: number of queries that attend at a time; None for the number of steps that it reaches, from 32 to 512.
        stateful: whether a call starts from the last S keys and values of the call before it, without gradients, in
            place of zeros, for streams that are cut into batches; the batch must have a fixed size.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a size is not a positive integer, or initial_span or span_loss is outside its range.
    """

    decoding_position = False  # see `kapps.generation.cache_protocol`
    adds_loss = True  # see `kapps.training.separate_added_losses`

    def __init__(
        self, heads, span, *, ramp=32, initial_span=0.0, span_loss=0.0, limit=None, block=None,
        stateful=False, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        check_argument(self.name, "heads", heads, int)
        check_steps(self.name, span=span, ramp=ramp)
        for option, value in (("limit", limit), ("block", block)):
            if value is not None:
                check_steps(self.name, **{option: value})
        check_argument(self.name, "stateful", stateful, bool)
        if not (is_number(initial_span) and 0 <= initial_span <= 1):
            raise ValueError(
                f"{self.name}: initial_span={short(initial_span)} is not a number from 0 to 1, a fraction of the span"
            )
        if not (is_number(span_loss) and span_loss >= 0):
            raise ValueError(f"{self.name}: span_loss={short(span_loss)} is not a number from 0")
        self.heads, self.span, self.ramp, self.initial_span = heads, span, ramp, initial_span
        self.span_loss, self.limit, self.block, self.stateful = span_loss, limit, block, stateful
        self.supports_masking = True

    @property
    def reach(self):
        """The number of steps back that the layer computes."""
        return min(self.limit or self.span, self.span)

    def build(self, input_shape):
        self.width = input_shape[0][-1]
        check_width(self.name, self.width, self.heads)
        self.scale = (self.width // self.heads) ** -0.5
        self.v = self.add_weight(
            shape=(self.heads,),
            initializer=keras.initializers.Constant(self.initial_span),
            constraint=UnitInterval(),
            trainable=self.limit is None,
            autocast=False,
            name="v",
        )
        self.carried = types.SimpleNamespace(
            states=None
        )  # not among the weights, like the states of Keras's RNN
        if self.stateful:
            self.carried.states = self.new_states(input_shape[0][0])
        self.built = True

    def new_states(self, batch):
        """Returns variables of the keys and values of the steps before a call, (batch, reach, width) each."""
        if batch is None:
            raise ValueError(
                f"{self.name}: stateful=True needs a batch of a fixed size; pass keras.Input(batch_shape=...)"
            )
        return [
            keras.Variable(
                shape=(batch, self.reach, self.width), initializer="zeros", dtype=self.variable_dtype, trainable=False,
                name=f"{kind}_window",
            )
            for kind in ("key", "value")
        ]  # fmt: skip

    @property
    def states(self):
        """The variables of a stateful layer, which `kapps.training.ResetStates` sets to zeros; otherwise None."""
        return self.carried.states

    def reset_state(self):
        """Sets the states to zeros, as at the start of a text."""
        for state in self.states or ():
            state.assign(ops.zeros_like(state.value))

    def penalty(self):
        """Returns the loss of the spans."""
        return self.span_loss * self.span * ops.mean(self.v)

    def span_mask(self):
        """Returns m_z(x) of each head, (heads, reach), the distance 1 last."""
        dtype = scores_dtype(self.v)
        earlier = ops.arange(self.reach - 1, -1, -1, dtype=dtype)  # x - 1
        z = ops.expand_dims(self.span * ops.cast(self.v, dtype), -1)
        return ops.clip((self.ramp + z - earlier) / self.ramp, 0.0, 1.0)

    def call(self, inputs, training=None, mask=None):
        query, key, value, position_scores = inputs
        if training and self.span_loss and self.limit is None:
            self.add_loss(self.penalty())
        mask = first_mask(mask)
        if mask is not None:
            is_step = ops.expand_dims(ops.cast(mask, key.dtype), -1)
            key, value = key * is_step, value * is_step
        (batch, steps), d = ops.shape(query)[:2], self.width // self.heads
        block = self.block or min(max(self.reach, LEAST_BLOCK), MOST_BLOCK)
        size = min(block, steps) if isinstance(steps, int) else ops.minimum(block, steps)
        count = (steps + size - 1) // size
        query, position_scores = (
            ops.reshape(
                ops.pad(x, ((0, 0), (0, block - 1), *((0, 0),) * (len(x.shape) - 2)))[
                    :, : count * size
                ],
                (batch * count, size, self.heads, last),
            )
            for x, last in ((query, d), (position_scores, position_scores.shape[-1]))
        )
        # The steps of each block and those before it that it reaches.
        firsts = ops.expand_dims(ops.arange(count, dtype="int32") * size, 1)
        window = firsts + ops.arange(self.reach + size, dtype="int32")
        key, value = (
            ops.reshape(
                ops.take(ops.pad(x, ((0, 0), (0, block - 1), (0, 0))), window, axis=1),
                (batch * count, self.reach + size, self.heads, d),
            )
            for x in (self.with_steps_before(key, 0), self.with_steps_before(value, 1))
        )
        y = self.attend(query, key, value, position_scores, size, block)
        return ops.reshape(y, (batch, count * size, self.width))[:, :steps]

    def with_steps_before(self, x, index):
        """Returns keys or values after those of the steps before them: zeros, or the last ones of the call before."""
        if not self.stateful:
            return ops.pad(x, ((0, 0), (self.reach, 0), (0, 0)))
        state = self.states[index]
        x = ops.concatenate([ops.cast(state, x.dtype), x], axis=1)
        state.assign(ops.cast(ops.stop_gradient(x[:, -self.reach :]), state.dtype))
        return x

    def attend(self, query, key, value, position_scores, size, block):
        """Returns the output of blocks, (blocks, size, heads, d).

        Args:
            query: (blocks, size, heads, d).
            key, value: (blocks, reach + size, heads, d).
            position_scores: (blocks, size, heads, at least reach).
            size: number of queries of a block.
            block: an integer that `size` does not exceed.
        """
        dtype, heads, reach = scores_dtype(query, key), self.heads, self.reach
        query = ops.transpose(ops.cast(query, dtype), (0, 2, 1, 3)) * self.scale
        scores = ops.matmul(query, ops.transpose(ops.cast(key, dtype), (0, 2, 3, 1)))
        blocks = ops.shape(scores)[0]
        # Query i attends to the steps i to i + reach - 1 of its window. Rows that are one longer shift this band to
        # the first columns: (size, reach + size) to (size, reach).
        longer = size * (reach + size + 1)
        scores = ops.reshape(scores, (blocks, heads, size * (reach + size)))
        scores = ops.pad(scores, ((0, 0), (0, 0), (0, block)))[:, :, :longer]
        scores = ops.reshape(scores, (blocks, heads, size, reach + size + 1))[..., :reach]
        scores = scores + self.scaled(position_scores, dtype)
        weights, persistent = self.weights_of(query, scores)
        weights = ops.pad(weights, (*((0, 0),) * 3, (0, block + 1)))[..., : reach + size + 1]
        weights = ops.reshape(weights, (blocks, heads, longer))[:, :, : size * (reach + size)]
        weights = ops.reshape(weights, (blocks, heads, size, reach + size))
        y = ops.matmul(ops.cast(weights, value.dtype), ops.transpose(value, (0, 2, 1, 3)))
        return self.with_heads_last(y, persistent)

    def scaled(self, position_scores, dtype):
        """Returns q . p_x / d^(1/2), (blocks, heads, size, reach), for the distances that the layer reaches."""
        scores = ops.transpose(position_scores[..., -self.reach :], (0, 2, 1, 3))
        return ops.cast(scores, dtype) * self.scale

    def weights_of(self, query, scores):
        """Returns the weights of the steps back, like the scores, and what is added to the output, or None.

        Args:
            query: scaled, (blocks, heads, size, d).
            scores: (blocks, heads, size, reach).
        """
        del query
        return soft_masked_softmax(scores, self.span_mask()), None

    def with_heads_last(self, y, persistent):
        """Returns (blocks, heads, size, d), plus what is added to it, as (blocks, size, heads, d)."""
        if persistent is not None:
            y = y + ops.cast(persistent, y.dtype)
        return ops.transpose(ops.cast(y, self.compute_dtype), (0, 2, 1, 3))

    # The cache protocol (`kapps.generation.cache_protocol`)

    def decoding_state(self, batch, length):
        del length
        window = keras.KerasTensor((batch, self.reach, self.width), self.compute_dtype)
        return {"key_window": window, "value_window": window}

    def decoding_step(self, x, position, state):
        del position
        query, key, value, position_scores = x
        keys, values = state["key_window"], state["value_window"]
        batch, d = ops.shape(query)[0], self.width // self.heads
        dtype = scores_dtype(query, keys)
        query = ops.reshape(ops.cast(query, dtype), (batch, self.heads, 1, d)) * self.scale
        past = ops.reshape(ops.cast(keys, dtype), (batch, self.reach, self.heads, d))
        scores = ops.matmul(query, ops.transpose(past, (0, 2, 3, 1)))
        scores = scores + self.scaled(position_scores, dtype)
        weights, persistent = self.weights_of(query, scores)
        past = ops.reshape(values, (batch, self.reach, self.heads, d))
        y = ops.matmul(ops.cast(weights, past.dtype), ops.transpose(past, (0, 2, 1, 3)))
        y = ops.reshape(self.with_heads_last(y, persistent), (batch, 1, self.width))
        windows = (
            ops.concatenate([old[:, 1:], new], axis=1)
            for old, new in ((keys, key), (values, value))
        )
        return y, dict(zip(state, windows, strict=True))

    def compute_mask(self, inputs, previous_mask):
        del inputs
        return first_mask(previous_mask)

    def compute_output_spec(self, inputs, training=None, mask=None):
        del training, mask
        return keras.KerasTensor(inputs[0].shape, self.compute_dtype)

    def get_config(self):
        options = (
            "heads",
            "span",
            "ramp",
            "initial_span",
            "span_loss",
            "limit",
            "block",
            "stateful",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """Scores and weighted values of the steps that each query reaches, without what a block computes in excess."""
        del output_shapes
        *steps, width = input_shapes[0]
        scores = math.prod(steps) * self.heads * self.reach
        return {
            "macs": 2 * scores * width // self.heads,
            "additions": 3 * scores,
            "elementwise": 4 * scores,
            "reach": "mix",
        }
