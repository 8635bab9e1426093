"""The stages of a network with several exits: one model for each exit, which continues where the one before it ends."""

import keras

from kapps._keras_compat import call_nodes, has_node
from kapps.export._float32 import in_float32
from kapps.export.fold import fold
from kapps.model_record import exit_outputs


def exit_stages(model: keras.Model) -> list[keras.Model]:
    """Returns one model for each exit of a network. They run one after the other, and no layer is in two of them.

    The first takes the network's input, each other the features that the one before it returns. Each returns a
    dictionary: "predictions" of its exit, and the features that later exits read as "state1", "state2", ... A layer is
    in the stage of the first exit that needs it (lazy evaluation, Huang 2017, arXiv:1703.09844, section 4). The models
    are in float32, and their batch norms are folded.

    Args:
        model: functional model with outputs "exit1_predictions", ..., "predictions". It is not changed.

    Raises:
        ValueError: for a model with one exit.
    """
    if not exit_outputs(getattr(model, "output_names", ())):
        raise ValueError(
            f"{model.name} has no output called exit1_predictions: pass a network with several exits (exits=True)"
        )
    with keras.device("cpu:0"):
        network, _ = fold(in_float32(model))  # a copy, so that the layers of `model` are not called
        outputs = [network.outputs[i] for i in exit_outputs(network.output_names)]
        return _split(network, outputs)


def _split(network, outputs):
    """Returns the stages of a network that may be changed."""
    parts = [keras.Model(network.inputs, outputs[: i + 1]).operations for i in range(len(outputs))]
    nodes = {
        operation: [node for node in call_nodes(operation) if has_node(network, node)]
        for operation in parts[-1]
    }
    stage_of, made, last_use = {}, {}, {}
    for i, part in enumerate(parts):
        for operation in part:
            stage_of.setdefault(operation, i)
    for operation, calls in nodes.items():
        for node in calls:
            made |= {id(x): (x, stage_of[operation]) for x in node.output_tensors}
            for x in node.input_tensors:
                last_use[id(x)] = max(stage_of[operation], last_use.get(id(x), 0))
    stages, values = [], {id(x): x for x in network.inputs}
    inputs = network.input
    for i, output in enumerate(outputs):
        if i > 0:
            for operation in (x for x in parts[i] if stage_of[x] == i):
                for node in nodes[operation]:
                    _call(operation, node, values)
        else:
            values = {key: x for key, (x, _) in made.items()}
        state_ids = [key for key, (_, stage) in made.items() if stage <= i < last_use.get(key, 0)]
        results = {f"state{n}": values[key] for n, key in enumerate(state_ids, start=1)}
        ends = {id(x) for x in keras.tree.flatten(inputs)}
        results = {
            name: keras.layers.Identity(name=f"{name}_passed_on")(x) if id(x) in ends else x
            for name, x in results.items()
        }
        results = {"predictions": values[id(output)], **results}
        stages.append(keras.Model(inputs, results, name=f"{network.name}_exit{i + 1}"))
        inputs = {
            f"state{n}": keras.Input(
                made[key][0].shape[1:], dtype=made[key][0].dtype, name=f"state{n}"
            )
            for n, key in enumerate(state_ids, start=1)
        }
        values = dict(zip(state_ids, inputs.values(), strict=True))
    return stages


def _call(operation, node, values):
    """Calls an operation as a node does, on the values of this stage in place of the node's tensors."""
    args, kwargs = keras.tree.map_structure(
        lambda x: values.get(id(x), x), (node.arguments.args, node.arguments.kwargs)
    )
    results = keras.tree.flatten(operation(*args, **kwargs))
    values |= {id(x): y for x, y in zip(node.output_tensors, results, strict=True)}
