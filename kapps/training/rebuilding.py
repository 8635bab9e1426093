"""A copy of a network with another input size and its weights, which records the preprocessing of its images."""

import dataclasses

import keras

from kapps._errors import main_sentence
from kapps.layers import copy_values
from kapps.model_preprocessing import begins_with_record, find_preprocessing, has_preprocessing
from kapps.model_record import UNKNOWN, ModelRecord, find_record, parse_layer_name


def make_record(model, preprocessing, shape):
    """Returns what the new model records of itself, or None if its preprocessing is not known."""
    if len(shape) != 3 or (preprocessing is None and not has_preprocessing(model)):
        return None
    if preprocessing is None and shape == tuple(model.inputs[0].shape[1:]) and find_record(model):
        return find_record(model)
    preprocessing, _ = find_preprocessing(model, preprocessing)
    size = tuple(
        side or default for side, default in zip(shape[:2], preprocessing.size, strict=True)
    )
    if size != preprocessing.size:
        preprocessing = preprocessing.at(size)
    record = find_record(model) or ModelRecord(UNKNOWN, UNKNOWN, preprocessing)
    return dataclasses.replace(record, preprocessing=preprocessing)


def rebuild(model, shape, record):
    """Returns a randomly initialised model of the same configuration and names, with a new input.

    A record of `model` at the start of its graph gets the values of `record`; a model without one gets a new layer.
    """
    old = model.inputs[0]
    image = keras.Input(batch_shape=(old.shape[0], *shape), dtype=old.dtype, name=old.name)
    inputs = keras.tree.pack_sequence_as(model.input, [image])
    first = image
    recorded = begins_with_record(model)
    if record is not None and not recorded:
        prefix = "input_" if any(parse_layer_name(layer.name) for layer in model.layers) else ""
        name = dataclasses.replace(record, prefix=prefix).layer_name()
        first = keras.layers.Identity(name=name)(image)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda x: first if x is image else x, (args, kwargs)
        )
        return layer(*args, **kwargs)

    try:
        if image.shape == old.shape:
            copy = keras.models.clone_model(model, inputs, recursive=True, call_function=call)
        else:
            copy = keras.models.clone_model(
                model, inputs, clone_function=_at_any_size, call_function=call
            )
    except Exception as error:
        raise ValueError(
            f"{model.name} cannot be rebuilt for images {shape}: {main_sentence(str(error))}"
        ) from error
    for layer in copy.layers:
        if record is not None and recorded and parse_layer_name(layer.name):
            layer.name = dataclasses.replace(
                record, prefix=parse_layer_name(layer.name).prefix
            ).layer_name()
    return copy


def _at_any_size(layer):
    """Returns a layer of the same configuration; a nested model gets heights and widths of None."""
    if not isinstance(layer, keras.Model):
        return layer.__class__.from_config(layer.get_config())
    inputs = [
        keras.Input(
            batch_shape=(x.shape[0], *(None for _ in x.shape[1:-1]), x.shape[-1]),
            dtype=x.dtype,
            name=x.name,
        )
        for x in layer.inputs
    ]
    if hasattr(layer, "operations"):
        inputs = keras.tree.pack_sequence_as(layer.input, inputs)
    return keras.models.clone_model(layer, inputs, clone_function=_at_any_size)


def copy_weights(model, copy, prediction, shape):
    """Copies the weights of every layer except `prediction`."""
    pairs = [
        [layer for layer in leaves(part) if not parse_layer_name(layer.name)]
        for part in (model, copy)
    ]
    for layer, twin in zip(*pairs, strict=True):
        if twin is prediction:
            continue
        old, new = ([tuple(value.shape) for value in x.weights] for x in (layer, twin))
        if old != new:
            raise ValueError(
                f"{model.name}: {layer.name!r} has weights of shapes {old}, and images {shape} need {new}; "
                f"only {tuple(model.inputs[0].shape[1:])} is possible"
            )
        copy_values(layer, twin)


def leaves(model):
    """Yields the layers in the order of `model.summary()`, those of nested models included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from leaves(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer
