"""A stack of reversible layers, whose training needs the memory of one layer at any depth.

[1] Gomez 2017, arXiv:1707.04585
[2] Kitaev 2020, arXiv:2001.04451, section 3
"""

import inspect

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._keras_compat import without_autocast
from kapps._values import short
from kapps.layers.fast_layer_normalization import FastLayerNormalization
from kapps.layers.multi_head_attention import scores_dtype
from kapps.layers.recomputation import computed_after, vector_jacobian_product

SEED_LIMIT = 2**23
"""Seeds below it are exact in float32; a custom gradient takes no integers on JAX."""


class Branch(keras.layers.Layer):
    """F(x) = dropout(layer(LayerNorm(x))), one of the two functions of a reversible layer.

    Args:
        layer: a layer from (batch, steps, width) to the same shape.
        dropout: fraction of the layer's output that training drops.
    """

    def __init__(self, layer, dropout, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.norm = FastLayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name="norm")
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy) if dropout else None
        self.supports_masking = True
        parameters = inspect.signature(layer.call).parameters
        self.takes_mask, self.hashes = "mask" in parameters, "return_buckets" in parameters

    def build(self, input_shape):
        for part in (self.norm, self.layer):
            if not part.built:
                part.build(input_shape)
        self.built = True

    def call(self, x, mask=None, training=False):
        x = self.norm(x)
        y = self.layer(x, mask=mask) if self.takes_mask else self.layer(x)
        return self.drop(y, training)

    def drop(self, y, training):
        return y if self.dropout is None else self.dropout(y, training=training)

    def next_seed(self):
        """Returns the state of the dropout's seed, float32 (2,), and advances it; zeros without dropout."""
        if self.dropout is None:
            return ops.zeros((2,), "float32")
        return ops.cast(ops.mod(self.dropout.seed_generator.next(), SEED_LIMIT), "float32")

    def run(self, x, mask, seed, weights, buckets=None):
        """Returns F(x) in training, and the buckets of a layer that hashes or None.

        Args:
            x: the stream.
            mask: bool (batch, steps), or None.
            seed: as `next_seed` returns it.
            weights: values of `self.weights`.
            buckets: those of an earlier call with the same x; None to compute them.
        """
        mapping = list(zip(self.weights, weights, strict=True))
        if self.dropout is not None:
            state = self.dropout.seed_generator.state
            mapping.append((state, ops.cast(seed, state.dtype)))
        with keras.StatelessScope(state_mapping=mapping):
            if self.hashes:
                options = dict(mask=mask, buckets=buckets, return_buckets=True)
                y, buckets = self.layer(self.norm(x), **options)
                y = self.drop(y, training=True)
            else:
                y = self(x, mask=mask, training=True)
        return ops.cast(y, x.dtype), buckets


@keras.saving.register_keras_serializable("kapps")
class ReversibleStack(keras.layers.Layer):
    """Reversible layers of two residual streams [1, 2]. Both streams start as the input.

    y_1 = x_1 + Attention(LayerNorm(x_2)),  y_2 = x_2 + FeedForward(LayerNorm(y_1))

    In training, the gradient needs no values of the forward pass but the last streams: from y_1 and y_2 it computes
    each layer's inputs,

    x_2 = y_2 - FeedForward(LayerNorm(y_1)),  x_1 = y_1 - Attention(LayerNorm(x_2)),

    with the same dropout. The memory of activations is then that of one layer, and a training step takes about a
    third longer. The streams are float32 under any policy, since rounding errors of half precision would add up.

    Input: (batch, steps, width). Output: both streams, (batch, steps, 2 width). Decoding is that of the attention
    layers; their states begin with `layer1_`, `layer2_` and so on.

    Args:
        attentions: layers from (batch, steps, width) to the same shape, one for each reversible layer. For decoding
            they implement `kapps.generation.cache_protocol`.
        feed_forwards: pointwise layers, as many.
        dropout: fraction of the output of each part that training drops.
        reversible: whether the gradient computes the inputs again; False for that of the backend, which is the same
            but for rounding, and keeps all activations.

    Raises:
        ValueError: if the lists are empty or differ in length.
    """

    def __init__(self, attentions, feed_forwards, dropout=0.0, reversible=True, **kwargs):
        super().__init__(**kwargs)
        if not attentions or len(attentions) != len(feed_forwards):
            raise ValueError(
                f"{self.name}: {len(attentions)} attentions and {len(feed_forwards)} feed_forwards; pass one of each "
                "for each layer"
            )
        check_argument(self.name, "dropout", dropout, float)
        if not isinstance(reversible, bool):
            raise ValueError(f"{self.name}: reversible={short(reversible)} is not True or False")
        self.dropout, self.reversible = dropout, reversible
        options = dict(dropout=dropout, dtype=self.dtype_policy)
        self.attentions = [
            Branch(layer, name=f"layer{i}_attention", **options)
            for i, layer in enumerate(attentions, start=1)
        ]
        self.feed_forwards = [
            Branch(layer, name=f"layer{i}_ffn", **options)
            for i, layer in enumerate(feed_forwards, start=1)
        ]
        self.supports_masking = True

    @property
    def branches(self):
        """The branches in the order of their calls."""
        pairs = zip(self.attentions, self.feed_forwards, strict=True)
        return [branch for pair in pairs for branch in pair]

    def build(self, input_shape):
        for branch in self.branches:
            branch.build(input_shape)
        self.built = True

    def call(self, inputs, mask=None, training=False):
        x = ops.cast(inputs, scores_dtype(inputs))
        if training and self.reversible:
            return ops.cast(self.reversible_call(x, mask), self.compute_dtype)
        x1, x2 = x, x
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            x1 = x1 + ops.cast(attention(x2, mask=mask, training=training), x.dtype)
            x2 = x2 + ops.cast(feed_forward(x1, training=training), x.dtype)
        return ops.cast(ops.concatenate([x1, x2], axis=-1), self.compute_dtype)

    def reversible_call(self, x, mask):
        """Returns both streams; the gradient of this function computes the inputs of each layer from its outputs.

        `ops.custom_gradient` has no gradient for values that its function reads from outside on JAX, and takes one
        output on PyTorch. So all weights are arguments, and the streams are one tensor.
        """
        branches = self.branches
        counts = [len(branch.weights) for branch in branches]
        seeds = ops.stack([branch.next_seed() for branch in branches])
        shown = None if mask is None else ops.cast(mask, x.dtype)
        with without_autocast():
            # A copy is a tensor on every backend; TensorFlow would ask for the gradients of variables separately.
            weights = [ops.copy(w) for branch in branches for w in branch.weights]

        def weights_of(i, weights):
            return weights[sum(counts[:i]) : sum(counts[: i + 1])]

        def to_mask(shown):
            return None if mask is None else shown > 0.5

        @ops.custom_gradient
        def stack(x, shown, seeds, *weights):
            x, shown, seeds, *weights = (ops.stop_gradient(z) for z in (x, shown, seeds, *weights))
            is_shown, streams, buckets = to_mask(shown), [x, x], []
            for i, branch in enumerate(branches):
                y, chosen = branch.run(
                    streams[1 - i % 2], is_shown, seeds[i], weights_of(i, weights)
                )
                streams[i % 2] = streams[i % 2] + y
                buckets.append(chosen)
            y = ops.concatenate(streams, axis=-1)
            last = ops.stop_gradient(
                y
            )  # another tensor on PyTorch, whose output would otherwise refer to itself

            def gradient(*arguments, upstream=None):
                if upstream is None:  # PyTorch passes it by name
                    (upstream,) = arguments
                streams, gradients = (list(ops.split(z, 2, axis=-1)) for z in (last, upstream))
                weight_gradients, dw = [], []
                for i in reversed(range(len(branches))):
                    target, source = (
                        i % 2,
                        1 - i % 2,
                    )  # the branch adds to one stream a function of the other

                    def run(x, *weights, i=i):
                        return branches[i].run(x, is_shown, seeds[i], weights, buckets[i])[0]

                    streams[source] = computed_after(streams[source], [*gradients, *dw])
                    inputs = [streams[source], *weights_of(i, weights)]
                    y, (dx, *dw) = vector_jacobian_product(run, inputs, gradients[target])
                    streams[target] = streams[target] - y
                    gradients[source] = gradients[source] + dx
                    weight_gradients = [*dw, *weight_gradients]
                dx = gradients[0] + gradients[1]
                return dx, ops.zeros_like(shown), ops.zeros_like(seeds), *weight_gradients

            return y, gradient

        return stack(x, ops.ones((1,)) if shown is None else shown, seeds, *weights)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    # The cache protocol (`kapps.generation.cache_protocol`)

    def decoding_state(self, batch, length):
        return {
            f"layer{i}_{name}": spec
            for i, branch in enumerate(self.attentions, start=1)
            for name, spec in branch.layer.decoding_state(batch, length).items()
        }

    def decoding_step(self, x, position, state):
        x, new_state = ops.cast(x, scores_dtype(x)), {}
        x1, x2 = x, x
        pairs = zip(self.attentions, self.feed_forwards, strict=True)
        for i, (attention, feed_forward) in enumerate(pairs, start=1):
            prefix = f"layer{i}_"
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            y, own = attention.layer.decoding_step(attention.norm(x2), position, own)
            new_state |= {prefix + name: value for name, value in own.items()}
            x1 = x1 + ops.cast(y, x.dtype)
            x2 = x2 + ops.cast(feed_forward(x1), x.dtype)
        return ops.cast(ops.concatenate([x1, x2], axis=-1), self.compute_dtype), new_state

    def profile_cost(self, input_shapes, output_shapes):
        """The parts' own costs, and of each part a norm and a residual sum (see `kapps.analysis.register_cost`)."""
        count = output_shapes[0][-1] // 2
        for size in output_shapes[0][:-1]:
            count *= size
        total = {"macs": 0, "additions": 0, "elementwise": 0}
        for branch in self.branches:
            cost = branch.layer.profile_cost(input_shapes[:1], input_shapes[:1])
            for name in total:
                total[name] += cost.get(name, 0)
            total["additions"] += 5 * count  # mean, difference, variance, beta; the residual sum
            total["elementwise"] += 3 * count  # square, division, gamma
        return {**total, "reach": "mix", "axes": (1,)}

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        options = dict(
            attentions=[serialize(branch.layer) for branch in self.attentions],
            feed_forwards=[serialize(branch.layer) for branch in self.feed_forwards],
            dropout=self.dropout, reversible=self.reversible,
        )  # fmt: skip
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("attentions", "feed_forwards"):
            config[name] = [keras.saving.deserialize_keras_object(layer) for layer in config[name]]
        return cls(**config)
