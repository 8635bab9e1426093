"""Self-attention over the pixels of a map, with relative positions in two dimensions.

[1] Bello 2019, arXiv:1904.09925
"""

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import scores_dtype

LARGEST_MAP = 2**12
"""The largest height and width that a layer has positions for."""


@keras.saving.register_keras_serializable("kapps")
class RelativeAttention2D(layers.Layer):
    """Multi-head self-attention over all pixels of a map, with learned vectors of their relative positions [1].

    The score of the pixel (i, j) for the query at (y, x) is, in each head,

    q_yx . (k_ij + r_i-y + s_j-x),  with q = d^(-1/2) times the query

    with a vector r for each vertical distance and a vector s for each horizontal one, which all heads have in common.
    The output of a head is the mean of the values, weighted by the softmax of the scores over all pixels.

    The layer has vectors for the distances of a map of `height` x `width` pixels. On a smaller map it uses those of the
    smaller distances; on a larger map, the vectors of the largest distance stand for all larger ones.

    Input: queries, keys and values (batch, height, width, heads (2 d + value_dim)), any floating dtype. The channels
    of each of the three are together, those of one head next to each other. Output: (batch, height, width,
    heads value_dim). Scores are float32 or wider under any policy. Weights: `r`, (2 height - 1, d), and `s`,
    (2 width - 1, d).

    Args:
        heads: number of heads, N_h.
        key_dim: d, the channels of the queries and keys of a head.
        value_dim: channels of the values of a head.
        height: height of the largest map that has a vector for every distance.
        width: its width.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, heads, key_dim, value_dim, height, width, **kwargs):
        super().__init__(**kwargs)
        for option, value in (("heads", heads), ("key_dim", key_dim), ("value_dim", value_dim)):
            check_argument(self.name, option, value, int)
        for option, value in (("height", height), ("width", width)):
            if not is_integer(value, 1, LARGEST_MAP):
                raise ValueError(
                    f"{self.name}: {option}={short(value)} is not an integer from 1 to {LARGEST_MAP:,}"
                )
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim
        self.height, self.width = height, width

    def build(self, input_shape):
        channels = self.heads * (2 * self.key_dim + self.value_dim)
        if input_shape[-1] != channels:
            raise ValueError(
                f"{self.name}: the input has {input_shape[-1]:,} channels; {self.heads} heads of "
                f"2 * {self.key_dim} + {self.value_dim} have {channels:,}"
            )
        initializer = keras.initializers.RandomNormal(stddev=self.key_dim**-0.5)
        self.r = self.add_weight(
            shape=(2 * self.height - 1, self.key_dim), initializer=initializer, name="r"
        )
        self.s = self.add_weight(
            shape=(2 * self.width - 1, self.key_dim), initializer=initializer, name="s"
        )

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        pixels, keys = height * width, self.heads * self.key_dim
        dtype = scores_dtype(inputs)
        x = ops.reshape(inputs, (-1, pixels, inputs.shape[-1]))
        query = self.split_heads(ops.cast(x[..., :keys], dtype), pixels, self.key_dim)
        key = self.split_heads(ops.cast(x[..., keys : 2 * keys], dtype), pixels, self.key_dim)
        value = self.split_heads(x[..., 2 * keys :], pixels, self.value_dim)
        query = query * self.key_dim**-0.5
        scores = ops.matmul(query, ops.swapaxes(key, 1, 2))
        # The pixels of the keys become two axes, along which the scores of the positions are repeated.
        scores = ops.reshape(scores, (-1, pixels, height, width))
        scores += self.row_scores(query, height, width, dtype)
        scores += self.column_scores(query, height, width, dtype)
        scores = ops.reshape(scores, (-1, pixels, pixels))
        # Keras warns of the softmax of one number.
        one_pixel = isinstance(pixels, int) and pixels == 1
        weights = ops.exp(scores - scores) if one_pixel else ops.softmax(scores, axis=-1)
        y = ops.matmul(ops.cast(weights, value.dtype), value)
        y = ops.reshape(y, (-1, self.heads, pixels, self.value_dim))
        y = ops.transpose(y, (0, 2, 1, 3))
        return ops.reshape(y, (batch, height, width, self.heads * self.value_dim))

    def split_heads(self, x, pixels, size):
        """Returns (batch heads, pixels, size) of (batch, pixels, heads size)."""
        x = ops.reshape(x, (-1, pixels, self.heads, size))
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, pixels, size))

    def row_scores(self, query, height, width, dtype):
        """Returns q_yx . r_i-y, (batch heads, height width, height, 1)."""
        x = ops.reshape(query, (-1, height, width, self.key_dim))
        x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, height, self.key_dim))
        x = relative_scores(x, ops.cast(self.r, dtype), height)
        x = ops.transpose(ops.reshape(x, (-1, width, height, height)), (0, 2, 1, 3))
        return ops.reshape(x, (-1, height * width, height, 1))

    def column_scores(self, query, height, width, dtype):
        """Returns q_yx . s_j-x, (batch heads, height width, 1, width)."""
        x = ops.reshape(query, (-1, width, self.key_dim))
        x = relative_scores(x, ops.cast(self.s, dtype), width)
        return ops.reshape(x, (-1, height * width, 1, width))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.heads * self.value_dim)

    def get_config(self):
        options = {
            "heads": self.heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "height": self.height,
            "width": self.width,
        }
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the products of queries with keys and with the vectors of distances, and of weights with values
        (see `kapps.analysis.register_cost`)."""
        del output_shapes
        batch, height, width, _ = input_shapes[0]
        keys, distances = height * width, 2 * (height + width - 1)
        macs = self.key_dim * (keys + distances) + self.value_dim * keys
        scores = self.heads * keys**2
        return {
            "macs": batch * self.heads * keys * macs,
            "additions": 2 * batch * scores,  # of the positions' scores
            "elementwise": batch * scores,  # the softmax
            "reach": "mix",
            "axes": (1, 2),
        }

    def to_keras_layers(self):
        """Returns the same in Keras's layers, each head apart, for maps of known size."""
        _, height, width, _ = self.input.shape
        if None in (height, width):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for attention; give them in "
                "input_shape, for example (224, 224, 3)"
            )
        image = layers.Input(self.input.shape[1:], dtype=self.input.dtype)
        options, pixels = {"dtype": self.dtype_policy}, height * width
        rows = layers.EinsumDense("byxd,ydi->byxi", (height, width, height), name="r", **options)
        columns = layers.EinsumDense("byxd,xdj->byxj", (height, width, width), name="s", **options)
        sizes = [self.key_dim] * 2 * self.heads + [self.value_dim] * self.heads
        parts, first = [], 0
        for size in sizes:
            # "channels_first" makes the channels of (height, width, channels) the last cropped axis.
            crop = ((0, 0), (first, sum(sizes) - first - size))
            parts.append(layers.Cropping2D(crop, data_format="channels_first", **options)(image))
            first += size
        outputs = []
        for i in range(self.heads):
            query, key, value = parts[i :: self.heads]
            query = layers.Rescaling(self.key_dim**-0.5, **options)(query)
            flat_query, key, value = (
                layers.Reshape((pixels, x.shape[-1]), **options)(x) for x in (query, key, value)
            )
            scores = layers.Dot(axes=2, **options)([flat_query, key])
            terms = [
                layers.Reshape((pixels, height, width), **options)(scores),
                layers.Reshape((pixels, height, 1), **options)(rows(query)),
                layers.Reshape((pixels, 1, width), **options)(columns(query)),
            ]
            scores = layers.Reshape((pixels, pixels), **options)(layers.Add(**options)(terms))
            weights = layers.Softmax(**options)(scores)
            y = layers.Dot(axes=(2, 1), **options)([weights, value])
            outputs.append(layers.Reshape((height, width, self.value_dim), **options)(y))
        y = layers.Concatenate(**options)(outputs) if self.heads > 1 else outputs[0]
        return keras.Model(image, y, name=self.name)

    def keras_weights(self):
        """Returns the values of that model's weights: for each query row or column, the vectors of the keys'."""
        _, height, width, _ = self.input.shape
        values = []
        for table, size in ((self.r, height), (self.s, width)):
            rows = distance_rows(size, (table.shape[0] + 1) // 2)
            steps = np.arange(size)
            vectors = ops.convert_to_numpy(table)[rows][steps - steps[:, None] + size - 1]
            values.append(vectors.transpose(0, 2, 1))
        return values


def relative_scores(query, table, size):
    """Returns q_t . table[u - t] for the positions u and t of one axis, (batch, size, size).

    Args:
        query: (batch, size, d).
        table: (2 length - 1, d), the vectors of the distances 1 - length to length - 1.
        size: number of positions, an integer or a tensor.
    """
    length = (table.shape[0] + 1) // 2
    if not isinstance(size, int) or size != length:
        table = ops.take(table, distance_rows(size, length), axis=0)
    scores = ops.matmul(query, ops.transpose(table))  # by distance
    # With a zero after each row, reading the same numbers in rows that are one shorter moves each row by one.
    scores = ops.pad(scores, ((0, 0), (0, 0), (0, 1)))
    scores = ops.reshape(scores, (-1, size * 2 * size))
    scores = ops.pad(scores, ((0, 0), (0, size - 1)))
    scores = ops.reshape(scores, (-1, size + 1, 2 * size - 1))
    return scores[:, :size, size - 1 :]


def distance_rows(size, length):
    """Returns the row of a table of 2 `length` - 1 distances for each of the 2 `size` - 1 distances on an axis."""
    if isinstance(size, int):
        return np.clip(np.arange(1 - size, size), 1 - length, length - 1) + length - 1
    return ops.clip(ops.arange(1 - size, size), 1 - length, length - 1) + length - 1
