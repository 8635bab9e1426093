"""Dilation in place of strides: a trained network with a finer last map.

Chen 2014, arXiv:1412.7062; Yu 2015, arXiv:1511.07122.

A layer with strides that would reduce the resolution below the output stride loses them, and every window after it is
dilated by the lost factor. It reads its own input with the dilation of the layers before it, as in torchvision's
`replace_stride_with_dilation` and timm's `output_stride`. The unit of the new map that stands at a unit of the old one
then has the same value. With padding="same" this holds for odd sides only: on even sides TensorFlow pads a layer
with strides on the right and bottom, and one without strides on every side.
"""

import keras
from keras import layers

from kapps._checked import checked
from kapps._keras_compat import run_through_graph
from kapps.builders._prefix import own_inputs
from kapps.layers import copy_values

STRIDES = (8, 16, 32)
"""The output strides; 32 is that of most classifiers."""
POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)


@checked
def dilate(model: keras.Model, output_stride: int = 8) -> keras.Model:
    """Returns a copy of a model whose maps have at least 1/output_stride of the image's resolution.

        body = kapps.resnet50(weights="imagenet", include_top=False, input_shape=(None, None, 3))
        body = kapps.segmentation.dilate(body, output_stride=8)

    The layers have the same names and weights. The names of levels no longer are those of their resolution.

    Args:
        model: a functional model of a builder, with or without its classifier. It is not changed.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: for another output stride, and if a pooling would need a dilation, which Keras does not have.
    """
    if output_stride not in STRIDES:
        raise ValueError(f"dilate: output_stride={output_stride} is not 8, 16 or 32")
    grids, copies = {}, {}
    inputs = own_inputs(model.inputs)
    for x in inputs:
        grids[id(x)] = 1, 1, x  # the tensor is kept, so that no other one gets its id

    def call(layer, *args, **kwargs):
        sources = [grids[id(x)] for x in keras.tree.flatten((args, kwargs)) if id(x) in grids]
        stride = max((source[0] for source in sources), default=1)
        dilation = max((source[1] for source in sources), default=1)
        config, stride, new_dilation = _dilated(
            layer, model.name, stride, dilation, output_stride
        )  # fmt: skip
        if id(layer) not in copies:
            copies[id(layer)] = layer, type(layer).from_config(config)
        outputs = copies[id(layer)][1](*args, **kwargs)
        for x in keras.tree.flatten(outputs):
            grids[id(x)] = stride, new_dilation, x
        return outputs

    outputs = run_through_graph(model, inputs, call)
    for layer, copy in copies.values():
        if getattr(layer, "weights", None):
            copy_values(layer, copy)
    outputs = keras.tree.pack_sequence_as(model.output, outputs)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=model.name)


def _dilated(layer, model, stride, dilation, output_stride):
    """Returns a layer's configuration on a dilated map, the strides of its output, and the output's dilation.

    Args:
        layer: of the model.
        model: its name, for errors.
        stride: of the layer's input, the lost factors not counted.
        dilation: of the layer's input, the product of the lost factors.
        output_stride: largest stride.
    """
    config = layer.get_config()
    if isinstance(layer, layers.ZeroPadding2D):
        if dilation > 1:
            config["padding"] = [
                [dilation * before, dilation * after] for before, after in layer.padding
            ]
        return config, stride, dilation
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    step = max(getattr(layer, "strides", None) or (1,))
    if window is None and step == 1:
        return config, stride, dilation
    is_lost = stride * step > output_stride
    is_dilated = (window is None or max(window) > 1) and (dilation > 1 or is_lost)
    if is_dilated and (isinstance(layer, POOLINGS) or not hasattr(layer, "dilation_rate")):
        raise ValueError(
            f"dilate: {model} has {layer.name} ({type(layer).__name__}), which has no dilation; pass a body whose "
            f"levels below 1/{output_stride} begin with a convolution, or a larger output_stride"
        )
    if is_dilated:
        config["dilation_rate"] = [rate * dilation for rate in layer.dilation_rate]
    if not is_lost:
        return config, stride * step, dilation
    config["strides"] = [1, 1]
    return config, stride, dilation * step
