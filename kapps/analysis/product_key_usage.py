"""How evenly a model uses the values of its product-key memories."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from kapps._checked import checked
from kapps.layers import ProductKeyMemory


class KeyUsage(NamedTuple):
    """How evenly the n^2 values of a memory are used (Lample 2019, arXiv:1907.05242).

    z_i is the sum of the weights of value i over all steps and heads, and z' = z / sum(z).

    Args:
        usage: fraction of the values with z_i above 0, in [0, 1].
        kl: Kullback-Leibler divergence of z' from the uniform distribution, log(n^2) + sum_i z'_i log z'_i, in nats:
            0 if all values are used equally, log(n^2) if only one is used.
    """

    usage: float
    kl: float


def usage_of_weights(totals: np.ndarray) -> KeyUsage:
    """Returns the usage of a memory's values.

    Args:
        totals: z, the sum of the weights of each value, float (values,), not all 0.
    """
    fractions = np.asarray(totals, "float64") / np.sum(totals)
    used = fractions[fractions > 0]
    kl = np.log(len(fractions)) + np.sum(used * np.log(used))
    return KeyUsage(len(used) / len(fractions), max(0.0, float(kl)))


@checked
def product_key_usage(model: keras.Model, inputs, batch_size: int = 32) -> dict[str, KeyUsage]:
    """Returns how evenly a model uses the values of its `kapps.layers.ProductKeyMemory` layers: {layer name: KeyUsage}.

    Masked steps are not counted.

    Args:
        model: a functional `keras.Model`.
        inputs: the model's input arrays, for example tokens of the validation split, int32 (examples, time).
        batch_size: number of examples that are computed at a time.

    Raises:
        ValueError: if the model has no product-key memory, or all steps are masked.
    """
    memories = [layer for layer in model.layers if isinstance(layer, ProductKeyMemory)]
    if not memories:
        raise ValueError(
            f"{model.name} has no layer ProductKeyMemory; kapps.families.product_key_memory makes models with one"
        )
    before = keras.Model(model.input, {layer.name: layer.input for layer in memories})
    totals = {layer.name: np.zeros(layer.sub_keys**2) for layer in memories}
    examples = len(keras.tree.flatten(inputs)[0])
    for start in range(0, examples, batch_size):
        batch = keras.tree.map_structure(lambda x: x[start : start + batch_size], inputs)  # noqa: B023
        tensors = before(batch, training=False)
        for layer in memories:
            x, *masks = keras.tree.flatten(tensors[layer.name])  # what the layer was called on
            rows, weights = map(ops.convert_to_numpy, layer.read(x, training=False))
            if masks:
                is_step = ops.convert_to_numpy(masks[0]).ravel()
                rows, weights = rows[is_step], weights[is_step]
            np.add.at(totals[layer.name], rows, weights)
    if not all(np.any(total) for total in totals.values()):
        raise ValueError(
            f"{model.name}: all steps of the inputs are masked; pass some that are not padding"
        )
    return {name: usage_of_weights(total) for name, total in totals.items()}
