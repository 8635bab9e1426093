"""The multiply-accumulates until each exit of a network."""

import re

import keras

from kapps._checked import checked
from kapps.analysis.profiling import profile
from kapps.model_record import exit_outputs

BLOCK = re.compile(r"(?:^|_)level\d+_block(\d+)_")


@checked
def exit_costs(model: keras.Model, lazy: bool = True) -> tuple[int, ...]:
    """Returns the multiply-accumulates of one image until each exit, with the classifiers of the exits before it.

        kapps.analysis.exit_costs(kapps.msdnet_budget5_cifar(), lazy=False)  # (6_781_184, 14_185_984, ...)

    Args:
        model: network with several exits, such as `kapps.msdnet_budget5_cifar()`, of known input size.
        lazy: whether only what the exits need is computed, as `kapps.export.tflite_exits` does. False for all scales of
            every block up to the exit, as the authors of MSDNet count. The cost of the last exit is the same.

    Raises:
        ValueError: for a model with one exit.
    """
    names = getattr(model, "output_names", ())
    exits = exit_outputs(names)
    if not exits:
        raise ValueError(
            f"{model.name} has no output called exit1_predictions: pass a network with several exits (exits=True)"
        )
    rows, costs = profile(model).rows, []
    for number in range(1, len(exits) + 1):
        part = keras.Model(model.inputs, [model.outputs[i] for i in exits[:number]])
        needed = {operation.name for operation in part.operations}
        blocks = {row.name: BLOCK.search(row.name) for row in rows}
        if not lazy:
            needed |= {name for name, match in blocks.items() if match and int(match[1]) <= number}
        costs.append(sum(row.macs for row in rows if row.name in needed))
    return tuple(costs)
