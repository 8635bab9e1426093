"""The model that every format writes: float32, training off, batch norms folded, named inputs and outputs."""

from collections.abc import Sequence

import keras

from kapps._values import short
from kapps.data import text_files
from kapps.export._float32 import check_exportable, in_float32, rebuild_error
from kapps.export._inputs import model_input
from kapps.export._preprocessing import export_preprocessing
from kapps.export._quantization_ranges import separate_pooling_ranges
from kapps.export._replacement import has_layers, replace_layers
from kapps.export.fold import fold
from kapps.export.pack import replace_binary_kernels
from kapps.layers import ActiveShift, BinaryConv2D, SpectralNorm
from kapps.model_record import main_output
from kapps.preprocessing import Preprocessing


def inference_model(
    model: keras.Model,
    preprocessing: Preprocessing | str | bool | None = False,
    *,
    fold_batch_norms: bool = True,
    separate_ranges: bool = False,
    pack_binary: bool | None = None,
) -> keras.Model:
    """Returns the model as it is exported.

    The model is rebuilt in float32 and called with `training=False`. Its inputs have the names of
    `_inputs.model_input`. Its output is a dictionary: the model's own dictionary; "probabilities" or "logits" for one
    output; the names of the output layers for several.

    Args:
        model: a functional or sequential model, under any dtype policy. It is not changed.
        preprocessing: for image models only, as for `kapps.export.saved_model`. The input is then raw pixels in
            [0, 255], and the first layers scale and normalise them. False for the model's own input.
        fold_batch_norms: whether batch norms are folded into the layers before them.
        separate_ranges: whether concatenated average poolings have quantisation ranges of their own (int8, int16).
        pack_binary: whether binary kernels become constants of one bit a weight (True) or of floats (False); None for
            the model's own layers.

    Raises:
        ValueError: for a model that cannot be exported or rebuilt, and for preprocessing of another model than an image
            model.
    """
    check_exportable(model)
    network = in_float32(model)
    with keras.device("cpu:0"):
        if pack_binary is not None and has_layers(network, BinaryConv2D):
            network = replace_binary_kernels(network, pack_binary)
        for kind in (ActiveShift, SpectralNorm):
            # A kernel that is computed has no good int8 values, and a batch norm cannot be folded into it.
            if has_layers(network, kind):
                network = replace_layers(network, kind, kind.to_keras_layers, kind.keras_weights)
        if fold_batch_norms:
            try:
                network, _ = fold(network)
            except Exception as error:
                raise rebuild_error(model, error) from error
        if separate_ranges:
            network = separate_pooling_ranges(network)
        inputs = x = model_input(model).keras_input()
        preprocessing = export_preprocessing(model, preprocessing)
        if preprocessing is not None:
            x = preprocess(x, preprocessing)
        # `training=False` is explicit because a model's default leaves augmentation layers on.
        outputs = network(_as_network_input(network, x), training=False)
        return keras.Model(inputs, _named_outputs(network, outputs), name=model.name)


def check_class_names(network: keras.Model, class_names: Sequence[str] | None) -> list[str] | None:
    """Returns the class names as strings; raises ValueError unless there is one for each score."""
    if class_names is None:
        return None
    if not isinstance(class_names, (list, tuple)) or not all(
        isinstance(name, (str, int)) for name in class_names
    ):
        raise ValueError(f"class_names={short(class_names)} is not a list of names")
    class_names = [str(name) for name in class_names]
    names = list(network.output)
    width = network.output[names[main_output(names)]].shape[-1]
    several = len(names) > 1 and "predictions" not in names
    if several or len(class_names) != width:
        raise ValueError(
            f"{len(class_names)} class names, and {network.name} gives {width} scores an image"
            + (f" in each of {len(names)} outputs" if several else "")
        )
    text_files.check_class_names(class_names, "class_names")
    return class_names


def inner_model(network: keras.Model) -> keras.Model:
    """Returns the model inside a network of `inference_model`."""
    (model,) = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    return model


def preprocess(image, preprocessing: Preprocessing):
    """Returns raw pixels (batch, height, width, channels) in [0, 255] as the model expects them."""
    mean, std = preprocessing.channels(image.shape[-1])
    scale = [preprocessing.scale / s for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    x = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(image)
    if preprocessing.blue_first and image.shape[-1] == 3:
        x = keras.ops.take(x, [2, 1, 0], axis=-1)
    return x


def _as_network_input(network, x):
    """Returns a tensor, or a dictionary of tensors by name, in the structure of the network's input."""
    if not isinstance(x, dict):
        return keras.tree.pack_sequence_as(network.input, [x])
    structure = network.input
    if isinstance(structure, dict):  # Keras flattens a dictionary in the order of its keys
        names = sorted(structure)
    else:
        names = [tensor.name for tensor in keras.tree.flatten(structure)]
    return keras.tree.pack_sequence_as(structure, [x[name] for name in names])


def _named_outputs(network, outputs) -> dict:
    """Returns outputs by name: the dictionary's, else by the activation, else by the output layers."""
    if isinstance(outputs, dict):
        return outputs
    outputs = keras.tree.flatten(outputs)
    if len(outputs) == 1:
        return {"probabilities" if _ends_in_probabilities(network) else "logits": outputs[0]}
    names = network.output_names
    numbered = [f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]
    unique = [
        name if names.count(name) == 1 else number
        for name, number in zip(names, numbered, strict=True)
    ]
    return dict(zip(unique, outputs, strict=True))


def _ends_in_probabilities(network) -> bool:
    last = {operation.name: operation for operation in network.operations}[network.output_names[0]]
    if hasattr(last, "operations"):
        return _ends_in_probabilities(last)
    if isinstance(last, keras.Sequential):
        last = last.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    return activation.lower() in ("softmax", "sigmoid")
