"""Rebuilds a model in float32 from its configuration."""

import keras
import tensorflow as tf

from kapps._errors import main_sentence
from kapps.export._inputs import model_input
from kapps.layers import copy_values

_OTHER_POLICIES = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")
_FLOAT32_POLICY = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


def check_exportable(model: keras.Model) -> None:
    """Raises ValueError unless `model` is a model that can be exported, and Keras is set up for export."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model must be a keras.Model, not {type(model).__name__} {str(model)[:80]!r}"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export needs Keras on TensorFlow (KERAS_BACKEND=tensorflow), "
            f"not on {keras.backend.backend()}"
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("export needs keras.config.image_data_format() to be 'channels_last'")
    model_input(model)


_CELL_DROPOUT = {"dropout", "recurrent_dropout"}
"""Options of a recurrent cell, by Keras's names."""


def in_float32(model: keras.Model) -> keras.Model:
    """Returns `model` on the CPU in float32 for inference: the model itself if it is so already, else a copy.

    The copy is made from the configuration with every layer's dtype policy replaced: a layer keeps the policy that it
    was built with, and setting a new global policy changes no layer. Its recurrent cells have no dropout.

    Args:
        model: a functional or sequential model that `check_exportable` accepts. It is not changed.

    Raises:
        ValueError: if the model cannot be rebuilt from its configuration.
    """
    with keras.device("cpu:0"), keras.saving.custom_object_scope(_layer_classes(model)):
        try:
            config = model.get_config()
            inference_config = _inference_config(config)
            if config == inference_config and _is_on_cpu(model):
                return model
            copy = type(model).from_config(inference_config)
            _copy_weights(model, copy)
        except Exception as error:
            raise rebuild_error(model, error) from error
        for layer in iterate_layers(copy):
            if hasattr(layer, "use_cudnn"):
                layer.use_cudnn = False  # cuDNN's operation runs on GPUs only
        if hasattr(copy, "operations"):
            return copy
        # A sequential model has no attributes `operations` and `output_names`.
        return keras.Model(copy.inputs, copy.outputs, name=model.name)


def rebuild_error(model: keras.Model, error: Exception) -> ValueError:
    """Returns the error of one line for a model that cannot be rebuilt from its configuration."""
    reason = main_sentence(str(error)) or type(error).__name__
    return ValueError(f"{model.name} cannot be rebuilt in float32 from its configuration: {reason}")


def named_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns a model's layers by name, with the layers of models inside it."""
    return {x.name: x for x in iterate_layers(model) if isinstance(x, keras.Layer)}


def iterate_layers(model: keras.Model):
    """Yields a model's layers and operations, with those of models inside it."""
    for layer in getattr(model, "operations", None) or getattr(model, "layers", ()):
        yield layer
        if isinstance(layer, keras.Model):
            yield from iterate_layers(layer)


def _is_on_cpu(model):
    """Whether all variables of a functional model are on the CPU, and no layer uses cuDNN."""
    if not hasattr(model, "operations") or any(
        getattr(layer, "use_cudnn", False) for layer in iterate_layers(model)
    ):
        return False
    values = [variable.value for variable in model.variables]
    return not any(
        isinstance(value, tf.distribute.DistributedValues) or "CPU" not in value.device
        for value in values
    )


def _layer_classes(model) -> dict[str, type]:
    """Returns the classes of the model's layers, so that Keras finds classes that are not registered."""
    return {type(layer).__name__: type(layer) for layer in iterate_layers(model)}


def _inference_config(config):
    """Returns a configuration with float32 for every dtype policy, in wrapped and nested layers too.

    Recurrent cells and layers have no dropout: Keras draws its random numbers with training off too.
    """
    if isinstance(config, dict):
        if config.keys() >= _CELL_DROPOUT:
            config = {**config, **dict.fromkeys(_CELL_DROPOUT, 0.0)}
        class_name = config.get("class_name")
        if class_name == "DTypePolicyMap":
            return _FLOAT32_POLICY
        if class_name == "DTypePolicy" and config["config"].get("name") in _OTHER_POLICIES:
            return _FLOAT32_POLICY
        return {
            key: "float32"
            if key == "dtype" and isinstance(value, str) and value in _OTHER_POLICIES
            else _inference_config(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_inference_config(value) for value in config)
    return config


def _copy_weights(source, target) -> None:
    """Copies weights layer by layer: by name, or by position for classes that do not keep layer names."""
    if not (hasattr(source, "operations") or isinstance(source, keras.Sequential)):
        copy_values(source, target)
        return
    targets = {layer.name: layer for layer in target.layers}
    copies = [targets.get(layer.name) for layer in source.layers]
    for layer, copy in zip(source.layers, target.layers if None in copies else copies, strict=True):
        if type(layer) is not type(copy):
            raise ValueError(f"its layer {layer.name!r} is rebuilt as a {type(copy).__name__}")
        _copy_weights(layer, copy)
