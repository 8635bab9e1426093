"""Attention: its scores and its context each take queries x keys products, besides the projections."""

import math

from keras import layers

from kapps.analysis.costs import MIX, Cost, named, register_cost, size


def core(queries, keys, width, value_width):
    """Scores, softmax and context of attention.

    Args:
        queries: number of queries, times heads and batch.
        keys: number of keys that each query sees.
        width: of a query and a key.
        value_width: of a value.
    """
    scores = queries * keys
    return Cost(
        macs=scores * (width + value_width),
        additions=scores,
        elementwise=3 * scores,  # the scale; exponential and division of the softmax
        reach=MIX,
    )


def multi_head(layer, inputs, outputs):
    """Three projections, attention along its axes, and the projection back."""
    config = layer.get_config()
    heads, width = config["num_heads"], config["key_dim"]
    value_width = config["value_dim"] or width
    query, value = inputs[0], inputs[1]
    key = inputs[2] if len(inputs) > 2 else value
    along = config["attention_axes"] or tuple(range(1, len(query) - 1))
    along = (along,) if isinstance(along, int) else along
    projected = heads * sum(
        math.prod(shape[:-1]) * each
        for shape, each in ((query, width), (key, width), (value, value_width))
    )
    products = (
        size(query) * heads * width
        + size(key) * heads * width
        + size(value) * heads * value_width
        + size(outputs[0]) * heads * value_width
    )
    gate = math.prod(query[:-1]) * heads * value_width if config.get("use_gate") else 0
    biased = projected + size(outputs[0]) + gate
    return core(
        math.prod(query[:-1]) * heads, math.prod(key[axis] for axis in along), width, value_width
    ) + Cost(
        macs=products + gate * query[-1],
        additions=biased * config["use_bias"],
        elementwise=2 * gate,
    )


def grouped_query(layer, inputs, outputs):
    """As many-headed attention, with fewer heads of keys and values than of queries."""
    config = layer.get_config()
    heads, fewer = config["num_query_heads"], config["num_key_value_heads"]
    width = config["head_dim"]
    query, value = inputs[0], inputs[1]
    key = inputs[2] if len(inputs) > 2 else value
    products = size(query) * heads * width + (size(key) + size(value)) * fewer * width
    products += size(outputs[0]) * heads * width
    places = math.prod(query[:-1])
    gate = places * heads * width if config.get("use_gate") else 0
    biased = places * heads * width + size(outputs[0]) + gate
    biased += (math.prod(key[:-1]) + math.prod(value[:-1])) * fewer * width
    return core(places * heads, key[1], width, width) + Cost(
        macs=products + gate * query[-1],
        additions=biased * config["use_bias"],
        elementwise=2 * gate,
    )


def dot_product(layer, inputs, outputs):
    """`keras.layers.Attention`: no projections. "concat" scores add, and apply a tanh and one weight."""
    query, value = inputs[0], inputs[1]
    if layer.score_mode == "concat":
        return additive(layer, inputs, outputs)
    return core(math.prod(query[:-1]), value[1], query[-1], value[-1])


def additive(layer, inputs, outputs):
    """Bahdanau's: tanh(query + key) for every pair, summed up with a scale."""
    query, value = inputs[0], inputs[1]
    pairs = math.prod(query[:-1]) * value[1]
    return core(math.prod(query[:-1]), value[1], 0, value[-1]) + Cost(
        macs=pairs * query[-1], additions=pairs * query[-1], elementwise=pairs * query[-1]
    )


register_cost(layers.MultiHeadAttention, multi_head)
register_cost(layers.GroupQueryAttention, grouped_query)
register_cost(layers.Attention, dot_product)
register_cost(layers.AdditiveAttention, additive)


@named("DotProductAttention")
def dot_product_operation(operation, inputs, outputs):
    """`keras.ops.dot_product_attention`: (batch, length, heads, width) each."""
    query, key, value = inputs[:3]
    return core(math.prod(query[:-1]), key[1], query[-1], value[-1])
