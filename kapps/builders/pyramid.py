"""The features of a model at each of its levels."""

import math
import re

import keras

from kapps._checked import checked
from kapps.model_record import parse_layer_name, prefixes, without_prefix


@checked
def pyramid_outputs(model: keras.Model) -> dict[int, keras.KerasTensor]:
    """Returns the features of each level, {level: Keras tensor}; level n has 1/2^n of the input's resolution.

    The features of a level are the output of its last layer. The levels come from the layer names
    (`level3_block2_add`) and, for the stem, from its strides, so they are found in a loaded model too.

        levels = kapps.pyramid_outputs(model)
        features = keras.Model(model.inputs, [levels[3], levels[4], levels[5]])

    Args:
        model: a model that a kapps builder made, with or without its classifier.

    Raises:
        ValueError: if no layer's name contains its level, and for a model of several networks.
    """
    outputs, stride, networks = {}, 1, prefixes(model)
    for layer in model.layers:
        match = re.match(r"(stem|level(\d+))_", without_prefix(layer.name, networks))
        if match is None or isinstance(layer, keras.layers.ZeroPadding2D):
            continue  # padding belongs to the next layer
        if parse_layer_name(layer.name):
            if outputs:
                raise ValueError(
                    f"{model.name} contains several networks: call pyramid_outputs for each of them"
                )
            continue  # the layer that records the preprocessing
        if match[1] == "stem":
            stride *= max(getattr(layer, "strides", (1,)))
        level = math.frexp(stride)[1] - 1 if match[2] is None else int(match[2])
        outputs[level] = layer.output
    if not outputs:
        raise ValueError(
            f"{model.name}: no layer is named by its level, as level3_block1_conv1 in kapps's models"
        )
    return dict(sorted(outputs.items()))
