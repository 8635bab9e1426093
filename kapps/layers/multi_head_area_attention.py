"""Multi-head attention to areas: runs of neighbouring steps, or rectangles of a grid.

[1] Li 2019, arXiv:1810.10126
[2] Tensor2Tensor, https://github.com/tensorflow/tensor2tensor, layers/area_attention.py
"""

import math

import keras
from keras import ops

from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import MultiHeadAttention, masked_softmax, scores_dtype

KEY_MODES = ("mean", "sample", "sum", "concat")
VALUE_MODES = ("sum", "mean")
EPSILON = 1e-6
"""What [2] adds to the variance of an area."""


def neighbours(x, most, axis, combine=ops.add):
    """Returns [x, combinations of 2 neighbours along an axis, of 3, ..., of `most`], each one entry shorter."""
    before = (slice(None),) * axis + (slice(None, -1),)
    results = [x]
    for n in range(1, most):
        after = (slice(None),) * axis + (slice(n, None),)
        results.append(combine(results[-1][before], x[after]))
    return results


def enumerate_areas(x, max_width, max_height=1, grid_height=1, combine=ops.add):
    """Returns [(height, width, the combined items of each area of this size)], in the order of [2].

    Areas of one size are in the order of their first items. Sums of neighbours are added one by one, so an area of one
    item is the item itself, and no digits are lost as in differences of cumulative sums.

    Args:
        x: items (batch, steps, ...); of a grid, row after row.
        max_width: largest number of neighbouring items in a row.
        max_height: largest number of neighbouring rows.
        grid_height: number of rows; 1 for a sequence.
        combine: of two tensors of items.
    """
    if grid_height == 1:
        return [(1, w, areas) for w, areas in enumerate(neighbours(x, max_width, 1, combine), 1)]
    batch, steps, *rest = ops.shape(x)
    grid = ops.reshape(x, (batch, grid_height, steps // grid_height, *rest))
    results = []
    for h, rows in enumerate(neighbours(grid, max_height, 1, combine), 1):
        for w, areas in enumerate(neighbours(rows, max_width, 2, combine), 1):
            _, height, width, *_ = ops.shape(areas)
            results.append((h, w, ops.reshape(areas, (batch, height * width, *rest))))
    return results


def area_features(x, max_width, max_height=1, grid_height=1):
    """Returns the mean, the standard deviation and the sum of the items of each area, (batch, areas, ...) each [2].

    Args:
        x: items, float32 (batch, steps, ...).
        max_width, max_height, grid_height: as for `enumerate_areas`.
    """
    sizes = max_width, max_height, grid_height
    sums = enumerate_areas(x, *sizes)
    squares = enumerate_areas(x * x, *sizes)
    means = [total / (h * w) for h, w, total in sums]
    deviations = [
        deviation_of(mean, square / (h * w))
        for mean, (h, w, square) in zip(means, squares, strict=True)
    ]
    totals = [total for *_, total in sums]
    return tuple(ops.concatenate(parts, axis=1) for parts in (means, deviations, totals))


def deviation_of(mean, mean_square):
    """Returns the standard deviation of a mean and a mean of squares."""
    return ops.sqrt(ops.abs(mean_square - mean * mean) + EPSILON)


def count_areas(steps, max_width, max_height=1, grid_height=1):
    """Returns the number of areas of `steps` items."""
    width = steps // grid_height
    return sum(
        max(grid_height - h, 0) * max(width - w, 0)
        for h in range(max_height)
        for w in range(max_width)
    )


@keras.saving.register_keras_serializable("kapps")
class MultiHeadAreaAttention(MultiHeadAttention):
    """Multi-head attention whose keys and values are those of areas of the memory [1].

    In a sequence of n steps an area is a run of up to m steps: n m - m (m - 1) / 2 areas. Its key is the mean of the
    keys of its steps, its value the sum of their values. In a grid, whose rows follow each other in the memory, an area
    is a rectangle. Areas with a masked step are masked; with use_causal_mask so are areas that end after the query.
    With areas of one step the outputs are those of `kapps.layers.MultiHeadAttention`.

    Keys by key_mode [2], with mu and sigma the mean and the standard deviation of an area's keys, and s a trained
    vector of its size, the vectors of its height and its width, one after the other:

    mean:    mu
    sample:  mu + sigma noise in training, mu otherwise
    sum:     W_2 ReLU(W_1 (mu + sigma + s) + b_1) + b_2, the same weights for all heads
    concat:  W_2 ReLU(W_1 [mu; sigma; s] + b_1) + b_2

    A decoding step has the KV cache of the steps, as ordinary attention, and computes the areas from it.

    Args:
        num_heads: h.
        key_dim: d_k; even for "sum" and "concat".
        max_width: m, the largest number of neighbouring steps of an area.
        max_height: largest number of neighbouring rows of an area.
        grid_height: number of rows of the memory; 1 for a sequence.
        key_mode: "mean", "sample", "sum" or "concat".
        value_mode: "sum" or "mean".
        top_k: number of areas that keep their weights, the largest, divided by their sum; None for all.
        **kwargs: as for `kapps.layers.MultiHeadAttention`; chunk must be None.
    """

    def __init__(
        self, num_heads, key_dim, max_width=3, max_height=1, grid_height=1, key_mode="mean", value_mode="sum",
        top_k=None, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(num_heads, key_dim, seed=seed, **kwargs)
        sizes = dict(
            max_width=max_width, max_height=max_height, grid_height=grid_height, top_k=top_k or 1
        )
        for option, value in sizes.items():
            if not is_integer(value, 1, 2**16):
                raise ValueError(
                    f"{self.name}: {option}={short(value)} is not a positive integer to 65,536"
                )
        for option, value, allowed in (
            ("key_mode", key_mode, KEY_MODES), ("value_mode", value_mode, VALUE_MODES)
        ):  # fmt: skip
            if value not in allowed:
                raise ValueError(
                    f"{self.name}: {option}={short(value)} is not one of {', '.join(allowed)}"
                )
        if max_height > grid_height:
            raise ValueError(
                f"{self.name}: max_height={max_height} is more than grid_height={grid_height}; pass the memory's rows"
            )
        if self.chunk is not None:
            raise ValueError(f"{self.name}: chunk={self.chunk} is not for areas; pass chunk=None")
        if key_mode in ("sum", "concat") and key_dim % 2:
            raise ValueError(
                f"{self.name}: key_mode={key_mode!r} needs an even key_dim, not {key_dim}"
            )
        self.max_width, self.max_height, self.grid_height = max_width, max_height, grid_height
        self.key_mode, self.value_mode, self.top_k = key_mode, value_mode, top_k
        self.noise = keras.random.SeedGenerator(seed) if key_mode == "sample" else None

    @property
    def areas(self):
        """The sizes of the areas, as arguments of `enumerate_areas`."""
        return dict(
            max_width=self.max_width, max_height=self.max_height, grid_height=self.grid_height
        )

    def build(self, query_shape, value_shape, key_shape=None):
        super().build(query_shape, value_shape, key_shape)
        if self.key_mode not in ("sum", "concat"):
            return
        d = self.key_dim
        features = d if self.key_mode == "sum" else 3 * d
        shapes = {
            "area_heights": (self.max_height, d // 2), "area_widths": (self.max_width, d // 2),
            "area_kernel1": (features, d), "area_bias1": (d,), "area_kernel2": (d, d), "area_bias2": (d,),
        }  # fmt: skip
        for name, shape in shapes.items():
            initializer = "zeros" if "bias" in name else "glorot_uniform"
            weight = self.add_weight(
                shape=shape, initializer=initializer, name=name, autocast=False
            )
            setattr(self, name, weight)

    def compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False
    ):
        del return_attention_scores
        dtype = scores_dtype(query, key)
        scores = self.dot_product(
            self.scale_query(ops.cast(query, dtype)), self.area_keys(ops.cast(key, dtype), training)
        )
        mask = None if attention_mask is None else self.area_mask(attention_mask)
        weights = masked_softmax(scores, None if mask is None else mask[:, None])
        if self.top_k is not None:
            weights = self.keep_largest(weights)
        values = self.area_values(ops.cast(value, scores_dtype(value)))
        dropped = ops.cast(self.drop_weights(weights, training), value.dtype)
        return self.combine(dropped, ops.cast(values, value.dtype)), weights

    def area_keys(self, key, training):
        """Returns the keys of the areas, (batch, areas, heads, key_dim), of those of the steps."""
        sums = enumerate_areas(key, **self.areas)
        if self.key_mode == "mean":
            return ops.concatenate([total / (h * w) for h, w, total in sums], axis=1)
        parts = []
        for (h, w, total), (*_, squares) in zip(
            sums, enumerate_areas(key * key, **self.areas), strict=True
        ):
            mean = total / (h * w)
            deviation = deviation_of(mean, squares / (h * w))
            if self.key_mode == "sample":
                noise = 0.0
                if training:
                    noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.noise)
                parts.append(mean + deviation * noise)
                continue
            size = ops.concatenate([self.area_heights[h - 1], self.area_widths[w - 1]])
            size = ops.cast(size, mean.dtype)
            if self.key_mode == "sum":
                parts.append(mean + deviation + size)
            else:
                size = ops.zeros_like(mean) + size
                parts.append(ops.concatenate([mean, deviation, size], axis=-1))
        features = ops.concatenate(parts, axis=1)
        if self.key_mode == "sample":
            return features
        hidden = ops.relu(ops.matmul(features, self.area_kernel1) + self.area_bias1)
        return ops.matmul(hidden, self.area_kernel2) + self.area_bias2

    def area_values(self, value):
        """Returns the values of the areas, (batch, areas, heads, value_dim), of those of the steps."""
        sums = enumerate_areas(value, **self.areas)
        mean = self.value_mode == "mean"
        return ops.concatenate([total / (h * w) if mean else total for h, w, total in sums], axis=1)

    def area_mask(self, mask):
        """Returns the mask of the areas, (1 or batch, queries, areas), of that of the steps: True if all items are."""
        items = ops.transpose(ops.cast(mask, "bool"), (0, 2, 1))
        areas = enumerate_areas(items, **self.areas, combine=ops.logical_and)
        return ops.transpose(ops.concatenate([part for *_, part in areas], axis=1), (0, 2, 1))

    def keep_largest(self, weights):
        """Returns the largest `top_k` weights of each query, divided by their sum, and 0 for other areas."""
        count = weights.shape[-1]
        largest = ops.top_k(weights, self.top_k if count is None else min(self.top_k, count))[0]
        selected = ops.where(weights >= largest[..., -1:], weights, ops.zeros_like(weights))
        return selected / ops.maximum(ops.sum(selected, axis=-1, keepdims=True), 1e-30)

    def compute_output_spec(self, query, value, *args, return_attention_scores=False, **kwargs):
        outputs = super().compute_output_spec(
            query, value, *args, return_attention_scores=return_attention_scores, **kwargs
        )
        if not return_attention_scores:
            return outputs
        steps = value.shape[1]
        count = None if steps is None else count_areas(steps, **self.areas)
        shape = (query.shape[0], self.num_heads, query.shape[1], count)
        return outputs[0], keras.KerasTensor(shape, "float32")

    def get_config(self):
        options = (*self.areas, "key_mode", "value_mode", "top_k")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """The projections, the sums of neighbours, the keys' network, and attention to the areas."""
        del output_shapes
        query, value = input_shapes[:2]
        key = input_shapes[2] if len(input_shapes) > 2 else value
        heads, width, value_width = self.num_heads, self.key_dim, self.value_dim
        queries, items, features = math.prod(query[:-1]), math.prod(value[:-1]), query[-1]
        count = count_areas(value[1], **self.areas)
        scores = queries * heads * count
        areas = value[0] * count * heads
        macs = heads * (
            queries * features * (width + value_width)
            + items * (key[-1] * width + value[-1] * value_width)
        )
        hidden = {"sum": 2 * width * width, "concat": 4 * width * width}.get(self.key_mode, 0)
        return {
            "macs": macs + scores * (width + value_width) + areas * hidden,
            "additions": scores + areas * (width + value_width),
            "elementwise": 3 * scores + areas * width,
            "reach": "mix",
        }
