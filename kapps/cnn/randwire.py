"""RandWire: randomly wired networks, whose stages are random graphs.

[1] Xie 2019, arXiv:1904.01569
[2] github.com/seungwonpark/RandWireNN    [3] github.com/JiaminRen/RandWireNN

The graphs have the seeds 0, 1, ... of their stages: [1] does not print its own graphs. `graphs(model)` reads those of a
model. Decisions where [1] says nothing, or where [2] and [3] differ:
- The first two convolutions of the small networks are ordinary, as in [2]: the mean figures are then those of [1]. In
  [3] they are depthwise separable, and the network has 93 M multiply-accumulates less.
- Convolutions have no biases, since a batch norm follows. `use_bias=True` gives the three that [2] has.
- A ReLU follows the last batch norm, as in [3]. `last_relu=False` is the network of [2].
- The numbers of the weighted sums are 0 at first, as in [2]; in [3] they are 1.
- BA begins with m nodes without edges, so that a stage has m input nodes. Today's networkx begins with a star.

`randwire_ring_c78` has the graphs that [2] publishes for WS(4, 0.75): rings none of whose edges are rewired.
"""

import re
from functools import partial

from keras import layers

from kapps import heads
from kapps._keras_compat import producer
from kapps.builders import image_family, variant
from kapps.builders.random_graphs import random_graph
from kapps.layers import WeightedSum, conv_bn, depthwise

XIE = "arXiv:1904.01569"


def node(x, filters, *, strides, name):
    """The transformation of a node: ReLU, depthwise separable 3x3 convolution, batch norm."""
    x = layers.Activation("relu", name=f"{name}_relu")(x)
    x = depthwise(x, 3, strides=strides, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, name=f"{name}_conv")


def aggregate(inputs, *, drop_rate, name):
    """The aggregation of a node: the weighted sum of its inputs. Training drops an edge for some of the images."""
    if len(inputs) > 1:
        return WeightedSum(drop_rate=drop_rate, name=f"{name}_sum")(inputs)
    if drop_rate:
        drop = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")
        return drop(inputs[0])
    return inputs[0]


def stage(x, filters, nodes, edges, *, drop_rate, level):
    """A random graph: nodes without a source read x, with strides of 2; the output is the mean of those without a target."""
    outputs = []
    for i in range(nodes):
        name = f"level{level}_node{i + 1}"
        inputs = [outputs[source] for source, target in sorted(edges) if target == i]
        y = aggregate(inputs, drop_rate=drop_rate, name=name) if inputs else x
        outputs.append(node(y, filters, strides=1 if inputs else 2, name=name))
    sources = {source for source, _ in edges}
    last = [outputs[i] for i in range(nodes) if i not in sources]
    return last[0] if len(last) == 1 else layers.Average(name=f"level{level}_mean")(last)


def stage_graphs(graph, seed, edges, nodes):
    """Returns the edges of each stage: those of `edges`, or random ones, with the seeds (seed, 0), (seed, 1) ..."""
    if edges is None:
        return [random_graph(graph, n, (seed, i)) for i, n in enumerate(nodes)]
    if len(edges) != len(nodes):
        raise ValueError(f"edges={len(edges)} graphs: pass {len(nodes)}, one for each stage")
    for i, (pairs, n) in enumerate(zip(edges, nodes, strict=True), start=1):
        wrong = [pair for pair in pairs if len(pair) != 2 or not 0 <= pair[0] < pair[1] < n]
        if wrong or len(set(pairs)) < len(pairs):
            raise ValueError(
                f"edges: stage {i} has {wrong[0] if wrong else 'an edge twice'}; an edge is (source, target) with "
                f"0 <= source < target < {n}, once"
            )
    return edges


@image_family(minimum=32)
def body(
    x, *, filters=78, regular=False, graph=("WS", 4, 0.75), seed=0, nodes=32, edges=None, drop_rate=0.0,
    use_bias=False, last_relu=True,
):  # fmt: skip
    """Builds RandWire: the networks of Table 2 of [1].

    Args:
        filters: channels of the first random stage, C of [1].
        regular: whether the network has the regular computation regime: level 2 is a random stage of half as many
            nodes, and the other stages have twice as many channels.
        graph: generator of the graphs: ("WS", k, p), ("ER", p) or ("BA", m).
        seed: of the graphs; the same seed means the same graphs.
        nodes: number of nodes of a stage.
        edges: edges of each stage instead of random ones: ((source, target), ...) with nodes from 0 and
            source < target.
        drop_rate: fraction of the images for which training drops an edge.
        use_bias: whether the convolutions outside of the graphs have biases.
        last_relu: whether a ReLU follows the last batch norm.
    """
    widths = [filters * 2**i for i in range(4 if regular else 3)]
    sizes = [nodes // 2, *[nodes] * 3] if regular else [nodes] * 3
    x = conv_bn(x, filters // 2, 3, strides=2, use_bias=use_bias, name="stem_conv1")
    if not regular:
        x = layers.Activation("relu", name="stem_relu")(x)
        x = conv_bn(x, filters, 3, strides=2, use_bias=use_bias, name="stem_conv2")
    rows = zip(widths, sizes, stage_graphs(graph, seed, edges, sizes), strict=True)
    for level, (width, n, pairs) in enumerate(rows, start=2 if regular else 3):
        x = stage(x, width, n, pairs, drop_rate=drop_rate, level=level)
    x = layers.Activation("relu", name="level5_relu")(x)
    last = "relu" if last_relu else None
    return conv_bn(x, 1280, 1, use_bias=use_bias, activation=last, name="level5_conv")


def graphs(model):
    """Returns the graphs of a model that a RandWire builder made: {level: ((source, target), ...)}, nodes from 0.

    They are read from the connections of the model's layers, so those of a loaded file are its own.
    """
    edges_of = {}
    for layer in model.layers:
        place = re.search(r"level(\d+)_node(\d+)_", layer.name)
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        for source in map(producer, inputs if place else []):
            other = re.search(r"level(\d+)_node(\d+)_", source.name)
            edges = edges_of.setdefault(int(place[1]), set())
            if other and other[1] == place[1] and other[2] != place[2]:
                edges.add((int(other[2]) - 1, int(place[2]) - 1))
    return {level: tuple(sorted(edges)) for level, edges in sorted(edges_of.items())}


regular = {
    "regular": True,
    "drop_rate": 0.1,
    "head": partial(heads.global_average_pooling, dropout=0.2),
}

# fmt: off
#                                                      C            generator                                trainable parameters and multiply-accumulates
randwire_ws_c78   = variant(body, "randwire_ws_c78",   filters=78,  graph=("WS", 4, 0.75),            paper=XIE, params=5_538_907, macs=571_285_436)
randwire_er_c78   = variant(body, "randwire_er_c78",   filters=78,  graph=("ER", 0.2),                paper=XIE, params=5_803_666, macs=593_712_932)
randwire_ba_c78   = variant(body, "randwire_ba_c78",   filters=78,  graph=("BA", 5),                  paper=XIE, params=5_677_900, macs=583_760_444)
randwire_ws_c109  = variant(body, "randwire_ws_c109",  filters=109, graph=("WS", 4, 0.75), **regular, paper=XIE, params=31_101_657, macs=3_841_988_200)
randwire_er_c109  = variant(body, "randwire_er_c109",  filters=109, graph=("ER", 0.2),     **regular, paper=XIE, params=33_553_553, macs=4_170_202_940)
randwire_ba_c109  = variant(body, "randwire_ba_c109",  filters=109, graph=("BA", 5),       **regular, paper=XIE, params=32_522_511, macs=3_994_676_708)
randwire_ws_c154  = variant(body, "randwire_ws_c154",  filters=154, graph=("WS", 4, 0.75), **regular, paper=XIE, params=59_860_589, macs=7_558_931_024)
randwire_ring_c78 = variant(body, "randwire_ring_c78", filters=78,  graph=("WS", 4, 0.0), use_bias=True, last_relu=False, paper=XIE, params=5_930_865, macs=603_665_420)
# fmt: on
