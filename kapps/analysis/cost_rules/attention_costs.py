"""Attention: projections, and queries x keys products for each of the scores and the context."""

import math

from keras import layers

from kapps.analysis.costs import MIX, Cost, register_cost, register_operations, size


def attention_core(queries, keys, width, value_width):
    """Returns the cost of scores, softmax and context.

    Args:
        queries: number of queries, multiplied by the numbers of heads and of sequences.
        keys: number of keys that a query attends to.
        width: length of a query and of a key.
        value_width: length of a value.
    """
    scores = queries * keys
    return Cost(
        macs=scores * (width + value_width),
        additions=scores,
        elementwise=3 * scores,  # scaling; exponential and division of the softmax
        reach=MIX,
    )


def multi_head(layer, inputs, outputs):
    """Projections of query, key and value, attention along its axes, and the output projection."""
    config = layer.get_config()
    heads, width = config["num_heads"], config["key_dim"]
    value_width = config["value_dim"] or width
    query, value = inputs[0], inputs[1]
    key = inputs[2] if len(inputs) > 2 else value
    axes = config["attention_axes"] or tuple(range(1, len(query) - 1))
    axes = (axes,) if isinstance(axes, int) else axes
    projected = heads * sum(
        math.prod(shape[:-1]) * length
        for shape, length in ((query, width), (key, width), (value, value_width))
    )
    products = (
        size(query) * heads * width
        + size(key) * heads * width
        + size(value) * heads * value_width
        + size(outputs[0]) * heads * value_width
    )
    gate = math.prod(query[:-1]) * heads * value_width if config.get("use_gate") else 0
    bias_additions = projected + size(outputs[0]) + gate
    return attention_core(
        math.prod(query[:-1]) * heads, math.prod(key[axis] for axis in axes), width, value_width
    ) + Cost(
        macs=products + gate * query[-1],
        additions=bias_additions * config["use_bias"],
        elementwise=2 * gate,
    )


def grouped_query(layer, inputs, outputs):
    """Multi-head attention with fewer heads of keys and values than of queries."""
    config = layer.get_config()
    heads, key_value_heads = config["num_query_heads"], config["num_key_value_heads"]
    width = config["head_dim"]
    query, value = inputs[0], inputs[1]
    key = inputs[2] if len(inputs) > 2 else value
    products = size(query) * heads * width + (size(key) + size(value)) * key_value_heads * width
    products += size(outputs[0]) * heads * width
    positions = math.prod(query[:-1])
    gate = positions * heads * width if config.get("use_gate") else 0
    bias_additions = positions * heads * width + size(outputs[0]) + gate
    bias_additions += (math.prod(key[:-1]) + math.prod(value[:-1])) * key_value_heads * width
    return attention_core(positions * heads, key[1], width, width) + Cost(
        macs=products + gate * query[-1],
        additions=bias_additions * config["use_bias"],
        elementwise=2 * gate,
    )


def dot_product(layer, inputs, outputs):
    """`keras.layers.Attention`, without projections. "concat" scores are those of additive attention."""
    query, value = inputs[0], inputs[1]
    if layer.score_mode == "concat":
        return additive(layer, inputs, outputs)
    return attention_core(math.prod(query[:-1]), value[1], query[-1], value[-1])


def additive(layer, inputs, outputs):
    """Additive attention: the weighted sum of tanh(query + key) for every pair."""
    query, value = inputs[0], inputs[1]
    pairs = math.prod(query[:-1]) * value[1]
    return attention_core(math.prod(query[:-1]), value[1], 0, value[-1]) + Cost(
        macs=pairs * query[-1], additions=pairs * query[-1], elementwise=pairs * query[-1]
    )


register_cost(layers.MultiHeadAttention, multi_head)
register_cost(layers.GroupQueryAttention, grouped_query)
register_cost(layers.Attention, dot_product)
register_cost(layers.AdditiveAttention, additive)


@register_operations("DotProductAttention")
def dot_product_operation(operation, inputs, outputs):
    """`keras.ops.dot_product_attention`; each input is (batch, length, heads, width)."""
    query, key, value = inputs[:3]
    return attention_core(math.prod(query[:-1]), key[1], query[-1], value[-1])
