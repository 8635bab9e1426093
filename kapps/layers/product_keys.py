"""Product-key memory: a table of values; each step reads the few whose keys have the highest scores.

[1] Lample 2019, arXiv:1907.05242
[2] their code, https://github.com/facebookresearch/XLM, PKM-layer.ipynb
"""

import math

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import scores_dtype

MOST_SUB_KEYS = 2**12
"""The largest number of sub-keys; the memory has its square of values."""


@keras.saving.register_keras_serializable("kapps")
class ProductKeyMemory(layers.Layer):
    """Reads, for each head, the k values of n^2 whose keys have the highest scores [1].

    (q_h1, q_h2) = the two parts of head h of BatchNorm(x W + b), d_k / 2 numbers each
    score_h(i, j) = q_h1 . c_hi + q_h2 . c'_hj,  i and j from 0 to n - 1
    y = sum_h sum_(i, j) softmax(score_h)_ij v_(i n + j), over the k pairs with the highest scores

    The k best pairs are among the k best i times the k best j, so the search is exact with 2 n + k^2 scores in place of
    n^2. Each head has its own sub-keys c and c', and all heads share the values. Scores are computed in float32, and
    the sub-keys and values are float32 under every precision policy of 32 bits or fewer.

    Masked steps are not part of the statistics of the batch norm. In training, the gradient of the values is as large
    as the values on all backends (1 GB for 512^2 values of 1,024 numbers), and the values that a batch reads, heads
    times k for each step, are in memory.

    Input: (batch, ..., features). Output: (batch, ..., units). Weights: the query's kernel (features, heads d_k) and
    bias, the norm's, `keys` (heads, 2, n, d_k / 2) and `values` (n^2, units).

    Args:
        sub_keys: n, the number of sub-keys of each part of a query; the memory has n^2 values.
        k: number of values that each head reads.
        heads: number of heads.
        key_dim: d_k, the width of a query, an even number.
        units: width of the output; None for the input's.
        batch_norm: whether queries are normalised, with which nearly all values are used [1].
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if a size is not a positive integer, k is more than n, or d_k is odd.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(
        self, sub_keys=512, k=32, *, heads=4, key_dim=512, units=None, batch_norm=True, **kwargs
    ):
        super().__init__(**kwargs)
        for option, value in (("heads", heads), ("key_dim", key_dim)):
            check_argument(self.name, option, value, int)
        check_argument(self.name, "units", units, int | None)
        if not is_integer(sub_keys, 1, MOST_SUB_KEYS):
            raise ValueError(
                f"{self.name}: sub_keys={short(sub_keys)} is not a positive integer up to {MOST_SUB_KEYS:,}"
            )
        if not is_integer(k, 1, sub_keys):
            raise ValueError(
                f"{self.name}: k is from 1 to {sub_keys}, the number of sub-keys, not {short(k)}"
            )
        if key_dim % 2:
            raise ValueError(
                f"{self.name}: key_dim={key_dim} is odd; a query has two parts of key_dim / 2"
            )
        check_argument(self.name, "batch_norm", batch_norm, bool)
        self.sub_keys, self.k, self.heads, self.key_dim = sub_keys, k, heads, key_dim
        self.units, self.batch_norm = units, batch_norm
        self.supports_masking = True

    def build(self, input_shape):
        width, part = self.heads * self.key_dim, self.key_dim // 2
        self.query = layers.Dense(width, dtype=self.dtype_policy, name="query")
        self.query.build(input_shape)
        self.norm = None
        if self.batch_norm:
            self.norm = layers.BatchNormalization(  # the constants of [2]
                momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy, name="query_norm"
            )
            self.norm.build((*input_shape[:-1], width))
        limit, units = part**-0.5, self.units or input_shape[-1]
        self.keys = self.add_weight(
            shape=(self.heads, 2, self.sub_keys, part),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            autocast=False,
            name="keys",
        )
        self.values = self.add_weight(
            shape=(self.sub_keys**2, units),
            initializer=keras.initializers.RandomNormal(stddev=units**-0.5),
            autocast=False,  # half precision would copy all of them in each step
            name="values",
        )
        self.built = True

    def call(self, inputs, training=None, mask=None):
        rows, weights = self.read(inputs, training, mask)
        units = self.values.shape[-1]
        count = self.heads * self.k
        values = ops.take(self.values, ops.reshape(rows, (-1, count)), axis=0)
        weights = ops.cast(ops.reshape(weights, (-1, 1, count)), values.dtype)
        y = ops.cast(ops.matmul(weights, values), self.compute_dtype)
        return ops.reshape(y, (*ops.shape(inputs)[:-1], units))

    def read(self, inputs, training=None, mask=None):
        """Returns what each step reads: the rows of the values, int32, and their weights, both (steps, heads, k).

        Args:
            inputs: (batch, ..., features); `steps` is the product of the axes before the features.
            training: whether the batch norm uses and updates the statistics of the batch.
            mask: bool (batch, ...), False for steps that are not part of these statistics; None for none.
        """
        query = self.query(inputs)
        if self.norm is not None:
            query = self.norm(query, training=training, mask=mask)
        rows, scores = self.best_pairs(query)
        return ops.transpose(rows, (1, 0, 2)), ops.transpose(ops.softmax(scores), (1, 0, 2))

    def best_pairs(self, query):
        """Returns the rows i n + j of the k best pairs and their scores, best first, both (heads, steps, k).

        Args:
            query: (batch, ..., heads d_k).
        """
        heads, k, part = self.heads, self.k, self.key_dim // 2
        query = ops.reshape(ops.cast(query, scores_dtype(query)), (-1, heads * 2, part))
        keys = ops.reshape(self.keys, (heads * 2, self.sub_keys, part))
        scores = ops.matmul(ops.transpose(query, (1, 0, 2)), ops.transpose(keys, (0, 2, 1)))
        best, indices = ops.top_k(scores, k)  # (heads * 2, steps, k)
        best, indices = (ops.reshape(x, (heads, 2, -1, k)) for x in (best, indices))
        sums = best[:, 0, :, :, None] + best[:, 1, :, None, :]
        rows = indices[:, 0, :, :, None] * self.sub_keys + indices[:, 1, :, None, :]
        scores, chosen = ops.top_k(ops.reshape(sums, (heads, -1, k * k)), k)
        rows = ops.take_along_axis(ops.reshape(rows, (heads, -1, k * k)), chosen, axis=-1)
        return ops.cast(rows, "int32"), scores

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units or input_shape[-1])

    def get_config(self):
        options = ("sub_keys", "k", "heads", "key_dim", "units", "batch_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """The query, 2 n scores and k values of each head, and a comparison for each score or sum in a choice."""
        *steps, features = input_shapes[0]
        steps, units, width = math.prod(steps), output_shapes[0][-1], self.heads * self.key_dim
        read = self.heads * self.k
        choices = self.heads * (2 * self.sub_keys + self.k**2)
        norm = width * self.batch_norm
        return {
            "macs": steps * (features * width + width * self.sub_keys + read * units),
            "additions": steps * (width + norm + self.heads * self.k**2),
            "elementwise": steps * (norm + choices + 2 * read),
        }
