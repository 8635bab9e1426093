"""The weights of attention layers that return no matrix of weights.

The output of a head is linear in the values: y_i = sum_j a_ij v_j. With the rows of the identity as values, it is the
row of weights.
"""

import numpy as np
from keras import ops

from kapps._keras_compat import first_mask, get_mask
from kapps.layers.adaptive_span import AdaptiveSpanAttention
from kapps.layers.double_attention import DoubleAttention
from kapps.layers.lsh_attention import LSHAttention, lsh_attention
from kapps.layers.multi_head_attention import scores_dtype
from kapps.layers.part_attention import PartAttention
from kapps.layers.pixel_attention import PixelAttention
from kapps.layers.quadratic_attention_2d import QuadraticAttention2D
from kapps.layers.relative_attention_2d import RelativeAttention2D
from kapps.layers.sparse_attention import SparseAttention
from kapps.layers.sparse_patterns import sparse_attention


def _identity(batch, heads, steps):
    return ops.broadcast_to(ops.eye(steps), (batch, heads, steps, steps))


def _mask(call):
    mask = call.kwargs.get("mask")
    return get_mask(call.args[0]) if mask is None else mask


def _sparse(call):
    layer, x = call.operation, call.args[0]
    query, key, _ = layer.project(x)
    values = _identity(len(x), layer.heads, x.shape[1])
    return sparse_attention(
        query, key, values, layer.pattern, layer.stride, layer.summary, _mask(call)
    )


def _lsh(call):
    layer, x = call.operation, call.args[0]
    query = ops.transpose(layer.project(x)[0], (0, 2, 1, 3))
    query = ops.cast(query, scores_dtype(query))
    values = _identity(len(x), layer.heads, x.shape[1])
    return lsh_attention(query, values, layer.rotations, layer.chunk, _mask(call))[0]


def _adaptive_span(call):
    """Only the steps of this call: not those before it, and not the persistent vectors of `AllAttention`."""
    layer, (query, key, value, position_scores) = call.operation, call.args[0]
    mask = first_mask([call.kwargs.get("mask"), *map(get_mask, (query, key, value))])
    batch, steps = value.shape[:2]
    saved = [ops.convert_to_numpy(state) for state in layer.states or ()]

    def run(values):  # (steps, columns): those of each head
        values = np.tile(values[None], (batch, 1, layer.heads)).astype("float32")
        inputs = [query, key, ops.cast(values, value.dtype), position_scores]
        y = layer.call(inputs, training=False, mask=mask)
        for state, before in zip(layer.states or (), saved, strict=True):
            state.assign(before)
        y = ops.convert_to_numpy(y).astype("float32")
        return y.reshape(batch, steps, layer.heads, -1).transpose(0, 2, 1, 3)

    return _in_columns(run, steps, layer.width // layer.heads)


def _pixels(call):
    query, key, _ = call.args[0]
    height, width = key.shape[1:3]
    values = ops.reshape(_identity(len(key), 1, height * width), (len(key), height, width, -1))
    y = call.operation.call([query, key, values])
    return ops.reshape(y, (len(key), 1, -1, height * width))


def _relative_pixels(call):
    layer, x = call.operation, call.args[0]
    batch, height, width, _ = x.shape
    keys = 2 * layer.heads * layer.key_dim

    def run(values):
        values = np.tile(values.reshape(1, height, width, -1), (batch, 1, 1, layer.heads))
        y = layer.call(ops.concatenate([x[..., :keys], ops.cast(values, x.dtype)], axis=-1))
        y = ops.convert_to_numpy(y).astype("float32")
        return y.reshape(batch, height * width, layer.heads, -1).transpose(0, 2, 1, 3)

    return _in_columns(run, height * width, layer.value_dim)


def _double(call):
    """The product of both matrices of weights: how much each pixel has of each other one."""
    features, gather, distribute = call.args[0]
    batch, height, width, _ = features.shape
    pixels = height * width
    identity = ops.reshape(_identity(batch, 1, pixels), (batch, height, width, pixels))
    y = call.operation.call([ops.cast(identity, features.dtype), gather, distribute])
    return ops.reshape(y, (batch, 1, pixels, pixels))


def _quadratic(call):
    x = call.args[0]
    weights = call.operation.attention_weights(*x.shape[1:3])
    return ops.broadcast_to(weights, (len(x), *weights.shape))


def _parts(call):
    """One query for each part."""
    return ops.swapaxes(call.operation.part_maps(call.args[0]), 1, 2)[:, None]


def _in_columns(run, steps, width):
    """Returns the weights by a function of values of `width` columns, which returns (batch, heads, queries, width)."""
    padded = np.eye(steps, -(-steps // width) * width, dtype="float32")
    constant = run(np.zeros((steps, width), "float32"))  # what does not depend on the values
    parts = [run(padded[:, i : i + width]) - constant for i in range(0, padded.shape[1], width)]
    return np.concatenate(parts, axis=-1)[..., :steps]


READERS = {
    AdaptiveSpanAttention: _adaptive_span,
    DoubleAttention: _double,
    LSHAttention: _lsh,
    PartAttention: _parts,
    PixelAttention: _pixels,
    QuadraticAttention2D: _quadratic,
    RelativeAttention2D: _relative_pixels,
    SparseAttention: _sparse,
}
"""Functions of a `_layer_calls.Call`, by class, that return (batch, heads, queries, keys)."""
