"""The model rebuilt in float32 from its configuration, and the layers it has."""

import keras
import tensorflow as tf

from kapps.export import _inputs as inputs
from kapps.layers import copy_values

_FLOATS = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")
_FLOAT32 = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


def in_float32(model: keras.Model) -> keras.Model:
    """Returns `model` on the CPU, float32 throughout: itself where that is what it is, else a copy.

    The copy is made from the configuration, with every layer's own precision policy replaced: a
    layer remembers the policy it was made under, and setting another one later changes none.

    Args:
        model: a functional or sequential model of such inputs as `inputs.taken` knows; left as it is.

    Raises:
        ValueError: for anything else, and for a model that its own configuration does not describe.
    """
    _refuse_other_models(model)
    with keras.device("cpu:0"), keras.saving.custom_object_scope(_classes(model)):
        try:
            config = model.get_config()
            replaced = _configuration_in_float32(config)
            if config == replaced and _is_plain(model):
                return model
            copy = type(model).from_config(replaced)
            _copy_weights(model, copy)
        except Exception as error:
            raise ValueError(not_rebuilt(model, error)) from error
        for layer in every_layer(copy):
            if hasattr(layer, "use_cudnn"):
                layer.use_cudnn = False  # an operation that no CPU and no other runtime has
        if hasattr(copy, "operations"):
            return copy
        # A sequential model knows no operations and no output names.
        return keras.Model(copy.inputs, copy.outputs, name=model.name)


def not_rebuilt(model, error: Exception) -> str:
    """Returns in one line that a model's configuration does not describe it."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{model.name} cannot be rebuilt in float32 from its configuration: {said}"


def _is_plain(model):
    """Whether a functional model is on the CPU alone, and has no layer that takes a GPU's own operation."""
    if not hasattr(model, "operations") or any(
        getattr(layer, "use_cudnn", False) for layer in every_layer(model)
    ):
        return False
    values = [variable.value for variable in model.variables]
    return not any(
        isinstance(value, tf.distribute.DistributedValues) or "CPU" not in value.device
        for value in values
    )


def _refuse_other_models(model) -> None:
    if not isinstance(model, keras.Model):
        raise ValueError(f"a keras.Model is exported, not {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export needs Keras on TensorFlow (KERAS_BACKEND=tensorflow), "
            f"not on {keras.backend.backend()}"
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("export needs keras.config.image_data_format() to be 'channels_last'")
    inputs.taken(model)


def _classes(model) -> dict[str, type]:
    """Returns the classes of the model's layers, so that one nobody registered is found again."""
    return {type(layer).__name__: type(layer) for layer in every_layer(model)}


def layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns a model's layers by name, those of models in it included."""
    return {layer.name: layer for layer in every_layer(model) if isinstance(layer, keras.Layer)}


def every_layer(model):
    """Yields a model's layers and operations, those of models in it included."""
    for layer in getattr(model, "operations", None) or getattr(model, "layers", ()):
        yield layer
        if isinstance(layer, keras.Model):
            yield from every_layer(layer)


def _configuration_in_float32(config):
    """Replaces every policy in a configuration, those of wrapped and nested layers included."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicyMap":
            return _FLOAT32
        if config.get("class_name") == "DTypePolicy" and config["config"].get("name") in _FLOATS:
            return _FLOAT32
        return {
            key: "float32"
            if key == "dtype" and isinstance(value, str) and value in _FLOATS
            else _configuration_in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_configuration_in_float32(value) for value in config)
    return config


def _copy_weights(source, target) -> None:
    """Copies layer by layer: by name, or in order where a class does not keep its layers' names."""
    if not (hasattr(source, "operations") or isinstance(source, keras.Sequential)):
        copy_values(source, target)
        return
    named = {layer.name: layer for layer in target.layers}
    copies = [named.get(layer.name) for layer in source.layers]
    for layer, copy in zip(source.layers, target.layers if None in copies else copies, strict=True):
        if type(layer) is not type(copy):
            raise ValueError(f"its layer {layer.name!r} comes back as a {type(copy).__name__}")
        _copy_weights(layer, copy)
