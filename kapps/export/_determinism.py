"""Checks that a network gives the same outputs for the same inputs: an exported file has no randomness and no state."""

import re

import keras
import numpy as np
import tensorflow as tf

from kapps.export._float32 import iterate_layers
from kapps.export._inputs import model_input
from kapps.export._quiet import quiet

# "Stateless" is not in the pattern: StatelessIf and StatelessWhile are plain control flow.
_RANDOM = re.compile(
    "Random|Multinomial|TruncatedNormal|StandardNormal|StatefulUniform|^Rng"
    "|StatelessShuffle|DistortedBoundingBox|CandidateSampler"
)


def check_deterministic(network: keras.Model, batch_size: int | None = None) -> None:
    """Traces the network as the export does, and raises ValueError if its outputs are not deterministic.

    Args:
        network: from `inference_model`.
        batch_size: the batch size that the network is traced with; None for any.

    Raises:
        ValueError: if the graph has a random operation, if a second call gives other outputs, or if the network does
            not run on this CPU.
    """
    inputs = model_input(network)
    with keras.device("cpu:0"), quiet():
        function = tf.function(
            network.__call__, input_signature=[inputs.spec(batch_size)], autograph=False
        ).get_concrete_function()
        _check_operations(network, function.graph.as_graph_def())
        example = keras.tree.map_structure(
            lambda array: tf.constant(array.repeat(batch_size or 1, axis=0)), inputs.example()
        )
        try:
            first, second = (keras.tree.flatten(function(example)) for _ in range(2))
        except tf.errors.OpError as error:
            # The innermost cause is the last line that does not only name its node.
            lines = [line for line in error.message.splitlines() if line.strip()]
            cause = [line for line in lines if "[[{{" not in line][-1].strip()
            raise ValueError(f"{network.name} does not run on this CPU: {cause}") from error
    for one, other in zip(first, second, strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        # Threads add sums in another order, so the last bits may differ.
        if not np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise ValueError(
                f"{network.name} gives other outputs for the same input in a second call (by up to "
                f"{np.abs(one - other).max():.1e}); a layer keeps state, which an exported file cannot"
            )


def _check_operations(network, graph):
    nodes = list(graph.node)
    nodes += [node for function in graph.library.function for node in function.node_def]
    classes = {layer.name: type(layer).__name__ for layer in iterate_layers(network)}
    for node in nodes:
        if _RANDOM.search(node.op) and not node.op.startswith("__"):
            raise ValueError(
                f"{network.name} is random with training off: {_layer_of(node.name, classes)} holds {node.op}; "
                "move random layers to the data pipeline"
            )


def _layer_of(scope: str, classes: dict[str, str]) -> str:
    """Returns the innermost layer in a node's scope such as "net_1/flip_1/uniform"."""
    for part in reversed(scope.split("/")):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in classes:
                return f"the layer {name!r} ({classes[name]})"
    return "its graph"
