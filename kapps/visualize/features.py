"""Filters and feature maps: what a convolution looks for, and where it finds it."""

import keras
import numpy as np
from keras import ops

from kapps._keras_compat import inner_layers
from kapps.visualize import _layer_calls
from kapps.visualize._batches import BATCH, check_images, in_batches

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def filters(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """Returns the kernel of a two-dimensional convolution.

    Args:
        model: a built `keras.Model`, also a nested one.
        layer: name of a `Conv2D` or `DepthwiseConv2D`; None for the first `Conv2D`.

    Returns:
        float32 (height, width, input channels, filters).

    Raises:
        ValueError: if there is no such layer, or several ones.
    """
    layers = [x for x in inner_layers(model) if isinstance(x, CONVOLUTIONS)]
    if layer is None:
        layers = [x for x in layers if isinstance(x, keras.layers.Conv2D)][:1]
    else:
        layers = [x for x in layers if layer in (x.name, x.path)]
    if len(layers) != 1:
        name = "" if layer is None else f" {layer!r}"
        several = "several convolutions" if layers else "no convolution"
        raise ValueError(f"{model.name} has {several}{name}; pass the name of a Conv2D")
    return ops.convert_to_numpy(layers[0].kernel).astype("float32")


def feature_maps(
    model: keras.Model, images, layers=None, *, batch_size: int = BATCH
) -> dict[str, np.ndarray]:
    """Returns the feature maps of layers.

    Args:
        model: a `keras.Model` of images, also a nested or subclassed one.
        images: what the model takes: (batch, height, width, channels).
        layers: names of layers, or one name; None for the last layer of each size of the feature maps.
        batch_size: number of images at a time.

    Returns:
        {path of the layer: float32 (batch, height, width, channels)}, in the order of the layers.

    Raises:
        ValueError: for images that do not fit, and for layers that the model does not have.
    """
    images = check_images(model, images)
    if layers is None:
        shapes = _layer_calls.output_shapes(model, images[:1])
        last = {
            shape[1:3]: path
            for path, shape in shapes.items()
            if len(shape) == 4 and max(shape[1:3]) > 1
        }
        paths = [path for path in shapes if path in last.values()]
    else:
        names = [layers] if isinstance(layers, str) else layers
        paths = [_layer_calls.find_layer(model, images[:1], name) for name in names]
    return {
        path: in_batches(
            lambda rows, path=path: _layer_calls.with_outputs(model, rows, [path])[1][path],
            batch_size,
            images,
        )
        for path in paths
    }


def top_images(
    model: keras.Model, images, layer: str, unit: int, count: int = 9, *, batch_size: int = BATCH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the images with the largest values of one unit, and where these values are.

    Args:
        model, images, batch_size: of `feature_maps`.
        layer: name of the layer.
        unit: channel of the layer.
        count: number of images.

    Returns:
        The indices of the images, (count,); the rows and columns in the feature map, (count, 2); and the values,
        float32 (count,), the largest first.

    Raises:
        ValueError: as `feature_maps`, and for a unit that the layer does not have.
    """
    ((path, maps),) = feature_maps(model, images, layer, batch_size=batch_size).items()
    if not 0 <= unit < maps.shape[-1]:
        raise ValueError(f"unit={unit}: {path} has the units 0 to {maps.shape[-1] - 1}")
    values = maps[..., unit].reshape(len(maps), -1)
    order = np.argsort(-values.max(axis=1), kind="stable")[:count]
    places = np.stack(np.unravel_index(values[order].argmax(axis=1), maps.shape[1:3]), axis=-1)
    return order, places, values[order].max(axis=1)
