"""Members of families that are quick to build: the same kinds of layers as the published one, fewer and narrower."""

import functools
import inspect
import math

import graphs
import keras
import numpy as np

from kapps._keras_compat import call_nodes
from kapps.layers import FastGRU, FastLSTM, FastSimpleRNN
from kapps.model_record import main_output

WINDOWS = (
    "Conv1D",
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "MaxPooling2D",
    "AveragePooling2D",
)
SWITCHES = (
    "use_bias",
    "scale",
    "center",
    "return_state",
    "go_backwards",
    "reset_after",
    "mask_zero",
    "merge_mode",
)
"""Options of Keras's layers that change what is computed or saved."""
COMMON = (
    "name",
    "dtype",
    "trainable",
    "autocast",
    "data_format",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)
"""Options that every layer, convolution or recurrent layer has, and that no builder sets."""


def assert_close(values, expected, within=1e-6):
    """Asserts that arrays differ by at most `within` of the largest expected value, which is not 0."""
    largest = np.abs(expected).max()
    assert values.shape == expected.shape and largest > 0
    assert np.abs(values - expected).max() <= within * largest


def features(builder, model):
    """Returns the kinds of things in a graph that a test may treat differently, as a set of short texts.

    They are the layer classes with their padding, strides, groups, dilation and switches; activations; recurrent cells
    and masks; options of kapps's own layers; the head; the kinds of inputs and outputs.
    """
    card = builder.card
    kinds = {
        f"input {card.kind}",
        f"inputs {len(model.inputs)}",
        f"output rank {len(model.outputs[main_output(model.output_names)].shape)}",
    }
    head = builder.builder.heads["head"]
    kinds.add(f"head {getattr(getattr(head, 'func', head), '__name__', head)}")
    if builder.builder.heads.get("auxiliary"):
        kinds.add("auxiliary heads")
    if not card.any_size:
        kinds.add("one size only")
    for layer in model.layers:
        kinds |= _layer_features(layer)
    return kinds


def _layer_features(layer):
    kind, config = type(layer), layer.get_config()
    name = keras.saving.get_registered_name(kind)
    name = name if name.startswith("kapps>") else kind.__name__
    kinds = {f"layer {name}"}
    for key in ("activation", "recurrent_activation"):
        if isinstance(config.get(key), str):
            kinds.add(f"activation {config[key]}")
    if kind.__name__ in WINDOWS:
        strided = "strided" if max(layer.strides) > 1 else "unit strides"
        kinds.add(f"{name} {layer.padding} {strided}")
        if max(getattr(layer, "dilation_rate", (1,))) > 1:
            kinds.add(f"{name} dilated")
        if getattr(layer, "groups", 1) > 1:
            kinds.add(f"{name} grouped")
    if isinstance(layer, keras.layers.ZeroPadding2D):
        kinds.add(f"{name} {'even' if all(a == b for a, b in layer.padding) else 'uneven'}")
    if isinstance(layer, keras.layers.ReLU):
        kinds.add(f"{name} up to {layer.max_value}")
    is_called = bool(call_nodes(layer))  # a part of a cell is not
    if isinstance(layer, keras.layers.Dense) and is_called and len(layer.input.shape) > 2:
        kinds.add(f"{name} at every position")
    for key in SWITCHES:
        if isinstance(config.get(key), (bool, str)):
            kinds.add(f"{name} {key}={config[key]}")
    # The options of the recurrent layers are Keras's; `tests/layers/test_fast_recurrent.py` compares them with Keras.
    if name.startswith("kapps>") and not isinstance(layer, (FastGRU, FastLSTM, FastSimpleRNN)):
        options = {key: value for key, value in config.items() if key not in COMMON}
        kinds |= {f"{name} {k}={v}" for k, v in options.items() if isinstance(v, (str, bool))}
    for part in ("cell", "layer", "forward_layer"):  # of RNN, of TimeDistributed, of Bidirectional
        if isinstance(getattr(layer, part, None), keras.layers.Layer):
            kinds |= {f"{name} of {kind}" for kind in _layer_features(getattr(layer, part))}
    return kinds


def with_options(builder, options):
    """Returns a builder of the same family with other options than its row's.

    Dense layers before the classifier become 64 wide: they hold most parameters of the oldest networks. Frames become
    16 pixels high and wide. A network with several exits has its last exit only.
    """
    published = builder.builder
    heads, defaults = dict(published.heads), dict(published.defaults)
    heads["exits"] = None  # the predictions of the last exit only
    head = heads["head"]
    if head is not None and "units" in inspect.signature(head).parameters:
        heads["head"] = functools.partial(head, units=(64, 64))
    if len(defaults["input_shape"]) == 4:
        defaults["input_shape"] = (4, 16, 16, 1)
    row = {**published.row, **options}
    kind = type(published)
    return kind(published.body, published.name, row, published.card, defaults, heads).function()


def with_one_exit(builder):
    """Returns a builder that makes the same network, with its last exit only if it has several."""
    published = builder.builder
    if not published.heads.get("exits"):
        return builder
    heads = {**published.heads, "exits": None}
    kind = type(published)
    return kind(
        published.body, published.name, published.row, published.card, published.defaults, heads
    ).function()


def small_options(builder):
    """Returns options with which a builder keeps every feature and has fewer layers, or, on sequences, fewer
    parameters.

    Each option of the row and of the body is made smaller in turn, where the result still builds.
    """
    published, options = builder.builder, {}
    values = {key: option.default for key, option in published.options().items()} | published.row
    images = builder.card.kind == "image"
    model = graphs.build(with_options(builder, {}))
    kinds, size = features(builder, model), _size(model, images)
    for key, value in values.items():
        if key == "genotype":
            candidates = _smaller_genotypes(value)
        elif "vocabulary" in key or (images and not _counts(value) and not _is_table(value)):
            continue
        else:
            candidates = _smaller(value, images)
        for smaller in candidates:
            changed = {**options, key: smaller}
            try:
                candidate = graphs.build(with_options(builder, changed))
            except (ValueError, TypeError, ZeroDivisionError, IndexError, KeyError, AttributeError):
                continue
            if features(builder, candidate) >= kinds and _size(candidate, images) < size:
                options, size = changed, _size(candidate, images)
                break
    return options


def _counts(value):
    """Returns whether a value may say how often something repeats: a number, or some of them."""
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in values)


def _is_table(value):
    """Returns whether a value is a table with one row for each block or stage."""
    return isinstance(value, tuple) and len(value) > 2 and all(isinstance(x, tuple) for x in value)


def _size(model, images):
    """Returns the layers of a network on images; the parameters and the values in all outputs of one on sequences."""
    if images:
        return len(model.layers)
    outputs = [x.shape for layer in model.layers for x in keras.tree.flatten(layer.output)]
    values = sum(
        math.prod(8 if length is None else length for length in shape) for shape in outputs
    )
    return model.count_params() + values


def _smaller_genotypes(genotype):
    """Yields genotypes of the first rows of each cell, whose nodes are all concatenated."""
    for rows in range(1, max(len(cell[0]) for cell in genotype)):
        cells = [cell[0][:rows] for cell in genotype]
        yield tuple((cell, tuple(node for node, *_ in cell)) for cell in cells)


def _smaller(value, images):
    """Yields smaller values of an option, the smallest first; of networks on images only tables are shortened."""
    if images and _is_table(value):
        for rows in range(2, len(value)):
            yield from (value[:rows], value[-rows:])
    if isinstance(value, bool) or not _counts(value) or value == ():
        return
    if isinstance(value, tuple):
        if not images:  # fewer layers
            yield tuple(min(x, 8) for x in value[:2])
        yield (min(2, value[0]), *(1 for _ in value[1:]))
        yield tuple(min(x, 8) for x in value)
    elif isinstance(value, float):
        yield from (value / 4, value / 2)
    else:
        yield from (
            n
            for n in ((8,) if value > 9 and not images else ()) + (2, 3, 4, 6, 8, 10, 13, 16)
            if n < value
        )
