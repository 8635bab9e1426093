"""The preprocessing of a model's images: what the model records, or its own layers compute. It is never guessed."""

import keras
import numpy as np

from kapps._keras_compat import call_nodes, has_node
from kapps.cards import card, list_models
from kapps.model_record import parse_layer_name, record_layers
from kapps.preprocessing import NAMES, PIXELS, Preprocessing, get_preprocessing

TRANSPARENT = (
    keras.layers.InputLayer, keras.layers.Identity, keras.layers.Dropout, keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D, keras.layers.Resizing, keras.layers.CenterCrop, keras.layers.RandomCrop,
    keras.layers.RandomFlip, keras.layers.RandomRotation, keras.layers.RandomTranslation, keras.layers.RandomZoom,
    keras.layers.RandomContrast, keras.layers.RandomBrightness, keras.layers.GaussianNoise,
)  # fmt: skip
"""Layers that may stand before a network's own normalisation: they keep the range of the pixels."""
OPERATIONS = {
    "TrueDivide": np.divide, "Divide": np.divide, "Multiply": np.multiply, "Subtract": np.subtract, "Add": np.add,
}  # fmt: skip
"""Operations that normalise, such as those of Keras Applications' `preprocess_input`, by class name."""
ORDERS = {"GetItem", "Stack", "Flip", "Cast"}
"""Operations that change the order or the dtype of the channels, by class name."""
MOST = 20.0
"""The largest absolute value of normalised pixels."""
LEAST_MEAN = 50.0
"""The smallest mean that is taken from pixels in [0, 255] which keep their scale, as Keras's mode "caffe" does."""


def find_preprocessing(
    model: keras.Model, passed: Preprocessing | str | None = None
) -> tuple[Preprocessing, str]:
    """Returns the preprocessing of a model's images, and where it comes from, for a line of output.

    Args:
        model: a network on images.
        passed: a preprocessing, its name, or the name of a builder, which has priority. None for what the model
            records, or for pixels in [0, 255] if the model normalises them by a layer of its own.

    Raises:
        ValueError: if nothing is passed and the model's preprocessing is not known; for an unknown name.
    """
    recorded, layer = _read(model)
    if passed is not None:
        preprocessing = named_preprocessing(passed)
        text = "as passed"
        if recorded is not None and recorded.normalisation != preprocessing.normalisation:
            text += f", instead of {recorded}, which {model.name} records"
        elif layer and preprocessing.normalisation != PIXELS.normalisation:
            text += f", and then the model's own layer {layer!r}"
        return preprocessing, text
    if recorded is not None:
        return recorded, "recorded in the model"
    if layer:
        return PIXELS.at(_size(model, PIXELS.size)), f"the model's own layer {layer!r} normalises"
    raise ValueError(
        f"{model.name} does not record the preprocessing of its images, and no layer at its start normalises pixels "
        f"in [0, 255]: pass preprocessing=, one of {', '.join(NAMES)}, or a builder's name"
    )


def find_preprocessing_of_option(
    model: keras.Model, passed: str | None
) -> tuple[Preprocessing, str]:
    """Returns what `find_preprocessing` does for the option --preprocessing of a command, which its errors name.

    Raises:
        ValueError: as for `find_preprocessing`, and for a model that does not take one image.
    """
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ValueError(f"{model.name} is not a network on images")
    try:
        return find_preprocessing(model, passed)
    except ValueError as error:
        raise ValueError(str(error).replace("preprocessing=", "--preprocessing=")) from error


def named_preprocessing(passed: Preprocessing | str) -> Preprocessing:
    """Returns a preprocessing, also by its name or by the name of a builder, whose card has it.

    Raises:
        ValueError: for another name or value.
    """
    if isinstance(passed, Preprocessing):
        return passed
    if isinstance(passed, str) and passed in list_models(kind="image"):
        return card(passed).preprocessing
    return get_preprocessing(passed)


def has_preprocessing(model: keras.Model) -> bool:
    """Whether the preprocessing of a model's images is known without an argument."""
    try:
        find_preprocessing(model)
    except ValueError:
        return False
    return True


def begins_with_record(model: keras.Model) -> bool:
    """Whether the first layer after the input records the preprocessing."""
    for operation, _ in _path(model):
        if not isinstance(operation, keras.layers.InputLayer):
            return parse_layer_name(operation.name) is not None
    return False


def _read(model) -> tuple[Preprocessing | None, str | None]:
    """Returns (recorded preprocessing, None), (None, name of the model's own layer that normalises) or (None, None)."""
    first = _first_layer(model, np.array([0.0, 255.0]))[0]
    if first is not None:
        record = parse_layer_name(first)
        return (record.preprocessing, None) if record else (None, first)
    records = [parse_layer_name(layer.name) for layer in record_layers(model)]
    kinds = {record.preprocessing for record in records}
    if len(kinds) > 1:
        names = " and ".join(str(kind) for kind in sorted(kinds, key=str))
        raise ValueError(
            f"{model.name} contains networks of different preprocessing: {names}; give each its own layers that "
            "normalise, and pass preprocessing='none'"
        )
    return (kinds.pop() if kinds else None), None


def _size(model, default):
    height, width = model.inputs[0].shape[1:3] if len(model.inputs[0].shape) == 4 else (None, None)
    return height or default[0], width or default[1]


def _first_layer(model, pixels):
    """Follows the pixels from the input of a model to the first layer that does more than normalise them.

    Args:
        model: a functional or sequential model.
        pixels: (2, channels) or (2,), the least and the largest pixel, as the layers so far change them.

    Returns:
        (name of a layer that normalises pixels or records the preprocessing, None if there is none; the pixels, None
        if a layer does more).
    """
    name = None
    for operation, node in _path(model):
        if parse_layer_name(operation.name):
            return operation.name, None
        if isinstance(operation, keras.Model):
            inner, pixels = _first_layer(operation, pixels)
            name = inner or name
        elif isinstance(operation, TRANSPARENT):
            continue
        else:
            changed = _normalise(operation, node, pixels)
            if changed is not None and _is_normalised(changed):
                return operation.name, changed
            pixels = changed
        if name is not None or pixels is None:
            return name, None
    return None, pixels


def _path(model):
    """Yields (operation, its call) from the input on, as long as each has one consumer.

    The calls of a sequential model's layers are None. Channels that are taken apart and stacked in another order, as
    by Keras Applications' `preprocess_input`, count as one operation.
    """
    if isinstance(model, keras.Sequential):
        yield from ((layer, None) for layer in model.layers)
        return
    if not hasattr(model, "operations") or len(model.inputs) != 1:
        return
    x = model.inputs[0]
    while True:
        consumers = _consumers(model, x)
        if len(consumers) > 1 and {type(operation).__name__ for operation, _ in consumers} == {
            "GetItem"
        }:
            parts = [_consumers(model, node.output_tensors[0]) for _, node in consumers]
            stacks = {id(node): (operation, node) for part in parts for operation, node in part}
            consumers = list(stacks.values()) if all(parts) else []
        if len(consumers) != 1 or len(consumers[0][1].output_tensors) != 1:
            return
        yield consumers[0]
        x = consumers[0][1].output_tensors[0]


def _consumers(model, x):
    """Returns [(operation, its call)] of the operations that take a Keras tensor."""
    return [
        (operation, node)
        for operation in model.operations
        for node in call_nodes(operation)
        if has_node(model, node) and any(x is y for y in node.input_tensors)
    ]


def _is_normalised(pixels):
    """Whether pixels that were 0 and 255 are in the range of a network's input."""
    if not np.all(np.isfinite(pixels)):
        return False
    small = np.abs(pixels).max() <= MOST and np.ptp(pixels, axis=0).min() > 0
    return bool(small or pixels[0].max() <= -LEAST_MEAN)


def _normalise(operation, node, pixels):
    """Returns the pixels after a layer or operation that only normalises them, or None for another one."""
    if isinstance(operation, keras.layers.Rescaling):
        scale, offset = (np.asarray(x, float) for x in (operation.scale, operation.offset))
        return _columns(pixels, scale) * scale + offset
    if isinstance(operation, keras.layers.Normalization):
        if not hasattr(operation, "mean") or operation.invert:
            return None
        mean, variance = (
            keras.ops.convert_to_numpy(x).reshape(-1) for x in (operation.mean, operation.variance)
        )
        return (_columns(pixels, mean) - mean) / np.maximum(np.sqrt(variance), 1e-7)
    kind = type(operation).__name__
    if kind in ORDERS:
        return pixels
    if kind not in OPERATIONS or node is None:
        return None
    values = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    if len(values) != 2 or keras.utils.is_keras_tensor(values[1]):
        return None
    try:
        value = np.asarray(keras.ops.convert_to_numpy(values[1]), float).reshape(-1)
    except (TypeError, ValueError):
        return None
    return OPERATIONS[kind](_columns(pixels, value), value)


def _columns(pixels, values):
    """Returns (2, channels) for values of each channel."""
    return pixels[:, None] if pixels.ndim == 1 and np.size(values) > 1 else pixels
