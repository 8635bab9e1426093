"""Fine-tuning: a trained classifier gets a new head, and says exactly which of its values may still change.

Keras leaves batch norm to chance here: calling a body with `training=False` does not hold in `fit`, and
`trainable = False`, then `True` on a model turns every batch norm on again. What does hold is `trainable = False`
on each batch norm itself, which makes it normalize by its moving statistics, and which a `.keras` file keeps.
"""

import os
import re
import textwrap
import zipfile

import keras

from kapps import heads
from kapps.cards import nearest
from kapps.layers import copy_values

BATCH_NORMS = ("frozen", "train")


def load_model(path: str | os.PathLike) -> keras.Model:
    """Returns the model of a `.keras` file, not compiled, in Keras's safe mode, which runs no code of the file.

    Raises:
        ValueError: of one line, for anything else than a `.keras` file, and for a model that Keras does not load.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise ValueError(f"there is no {path!r}: give a .keras file, such as a run's model.keras")
    if not (path.endswith(".keras") and zipfile.is_zipfile(path)):
        raise ValueError(
            f"{path} is no whole .keras file: give what `model.save('model.keras')` writes"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras tells the whole configuration first, and after it what is wrong, with an object's own.
        reason = str(error).rpartition("Exception encountered: ")[2].partition(" Full object")[0]
        short = textwrap.shorten(reason, 300, placeholder=" ...")
        raise ValueError(f"{path} cannot be loaded: {short or type(error).__name__}") from error


def finetune(
    model: keras.Model,
    *,
    classes: int,
    unfreeze: str = "all",
    batch_norm: str = "frozen",
    input_shape: tuple[int | None, ...] | None = None,
    precision: str | None = None,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Returns a new model: the body of `model` with its weights, and a fresh head for other classes.

    The body is all before the prediction layer, the last dense layer or 1x1 convolution; of a model without
    one it is the whole model. A body that ends in a feature map is pooled by its average. The new head computes
    in float32. What trains is set by `set_trainable`, which a second stage (first the head, then more) calls
    again. The new model is not compiled, `model` is not changed, and what is saved is made of the layers of
    `model` and of Keras alone.

    Args:
        model: a functional or sequential `keras.Model` from images (batch, height, width, channels) to
            scores (batch, classes) or to features, built or loaded; it may hold other such models.
        classes: width of the new prediction layer.
        unfreeze: as for `set_trainable`.
        batch_norm: as for `set_trainable`.
        input_shape: (height, width, channels) in pixels to go on at, by default the shape of `model`; height
            and width may be None. Only a body whose weights fit every size goes on at another; a dense layer
            on a flattened map does not.
        precision: the policy that every layer of the body gets, by Keras's name, such as "mixed_bfloat16"; None
            where each keeps the one that it was saved with, which no global policy changes.
        classifier_activation: what follows the logits, by Keras's name; None for bare logits.
        name: of the new model, by default that of `model`, so that `kapps.card` still finds its preprocessing.

    Raises:
        ValueError: for an argument that is not allowed, with what is; for a model of another kind; for an
            `input_shape` that the body's layers or weights do not fit.
    """
    _refuse_models_without_graph(model)
    if not (isinstance(classes, int) and not isinstance(classes, bool) and classes > 0):
        raise ValueError(f"classes is a positive whole number, not {classes!r}")
    model = _functional(model)
    shape = _input_shape(model, input_shape)
    copy = _rebuild(model, shape)
    if precision is not None:
        for layer in _leaves(copy):
            layer.dtype_policy = precision
        copy = _rebuild(copy, shape)  # whose graph has the precision too
    prediction = _prediction(copy)
    _copy_weights(model, copy, prediction, shape)
    x = copy.outputs[0] if prediction is None else prediction.input
    if len(x.shape) == 4:
        # A 1x1 convolution may read features that are pooled to one pixel, by a layer that has the pool's name.
        body = keras.Model(copy.inputs[0], x)
        pooled = any(layer.name == "head_pool" for layer in body.layers)
        x = keras.layers.Flatten(name="head_flatten")(x) if pooled else heads.pool(x, "avg")
    elif len(x.shape) != 2:
        raise ValueError(
            f"{model.name} ends in features {x.shape}; a head takes (batch, channels) or a feature map "
            "(batch, height, width, channels)"
        )
    x = heads.classifier(x, classes, classifier_activation)
    tuned = keras.Model(copy.inputs[0], x, name=name or model.name)
    set_trainable(tuned, unfreeze=unfreeze, batch_norm=batch_norm)
    return tuned


def set_trainable(model: keras.Model, *, unfreeze: str, batch_norm: str = "frozen") -> None:
    """Sets which layers train, in place; the prediction layer always does. Compile the model after it.

    A frozen batch norm normalizes by its moving statistics, and gamma, beta, moving mean and moving variance
    stay as they are to the bit, in a saved and loaded model too. Let this function change what trains, and
    not `model.trainable`: False and then True thaws every layer, and no layer of Keras can refuse it. Layers
    that are made of layers, such as MultiHeadAttention, forget in a `.keras` file that they were frozen
    (Keras 3.15); call this on the loaded model again.

    Args:
        model: one that `finetune` returned, or any other that it takes.
        unfreeze: what trains besides the prediction layer: "head" for nothing, "all" for the whole body, or a
            layer's name or its beginning, such as "level4", for the body from there on, in the order of
            `model.summary()`. A number in it is meant whole: "level1" is not "level10".
        batch_norm: "frozen" freezes every batch norm, whatever else trains; "train" only those in the
            part of the body that is.

    Raises:
        ValueError: for an argument that is not allowed, with what is; where nothing would train; for a batch
            norm inside another layer, which cannot be frozen by itself.
    """
    _refuse_models_without_graph(model)
    if batch_norm not in BATCH_NORMS:
        raise ValueError(f"batch_norm is one of {', '.join(BATCH_NORMS)}, not {batch_norm!r}")
    prediction = _prediction(model)
    body = [layer for layer in _leaves(model) if layer is not prediction]
    start = _start(body, unfreeze)
    norms = [layer for layer in body if isinstance(layer, keras.layers.BatchNormalization)]
    frozen = [*body[:start], *(norms if batch_norm == "frozen" else ())]
    if batch_norm == "frozen":
        _refuse_hidden_batch_norms(model, norms)
    if prediction is None and not any(layer.weights for layer in body[start:]):
        raise ValueError(f"{model.name} has no prediction layer, so nothing trains at {unfreeze!r}")
    # An assignment that changes nothing does not reach inner layers on TensorFlow; one of the two does.
    model.trainable = False
    model.trainable = True
    for layer in frozen:
        layer.trainable = False


def _refuse_models_without_graph(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"a keras.Model is fine-tuned, not {type(model).__name__}")
    if not (hasattr(model, "operations") or (isinstance(model, keras.Sequential) and model.built)):
        raise ValueError(
            f"{model.name} has no graph; build it from keras.Input, as functional or sequential model"
        )
    if (len(model.inputs), len(model.outputs)) != (1, 1):
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "what is fine-tuned has one of each"
        )


def _functional(model):
    """Returns the model itself, or a sequential one's layers as a functional one, which knows its operations."""
    if hasattr(model, "operations"):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _input_shape(model, asked):
    """Returns the shape of one image, the model's own where none is asked for."""
    given = tuple(model.inputs[0].shape[1:])
    if asked is None:
        return given
    shape = tuple(asked)
    sizes = all(side is None or (isinstance(side, int) and side > 0) for side in shape[:-1])
    if len(shape) != len(given) or shape[-1] != given[-1] or not sizes:
        raise ValueError(
            f"{model.name}: input_shape is positive sizes or None, and the model's {given[-1]} channels, "
            f"like its own {given}, not {shape}"
        )
    return shape


def _rebuild(model, shape):
    """Returns a model of the same configuration and names, on a new input, its weights random."""
    old = model.inputs[0]
    image = keras.Input(batch_shape=(old.shape[0], *shape), dtype=old.dtype, name=old.name)
    inputs = keras.tree.pack_sequence_as(model.input, [image])
    try:
        if image.shape == old.shape:
            return keras.models.clone_model(model, inputs, recursive=True)
        return keras.models.clone_model(model, inputs, clone_function=_at_any_size)
    except Exception as error:
        # Keras says first where it happened, then in bold what.
        lines = [
            line for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()
        ]
        where = len(lines) > 1 and lines[0].startswith("Exception encountered")
        reason = lines[where].strip() if lines else type(error).__name__
        raise ValueError(f"{model.name} cannot be rebuilt for images {shape}: {reason}") from error


def _at_any_size(layer):
    """Returns a layer of the same configuration; a model in the model with heights and widths left open."""
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


def _copy_weights(model, copy, prediction, shape):
    """Gives every layer of the copy but `prediction` the values of its original."""
    for layer, twin in zip(_leaves(model), _leaves(copy), strict=True):
        if twin is prediction:
            continue
        old, new = ([tuple(value.shape) for value in each.weights] for each in (layer, twin))
        if old != new:
            raise ValueError(
                f"{model.name}: {layer.name!r} has weights of shapes {old}, and images {shape} need {new}; "
                f"it stays at {tuple(model.inputs[0].shape[1:])}"
            )
        copy_values(layer, twin)


def _leaves(model):
    """Yields the layers in the order of `model.summary()`, those of nested models in the model's place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from _leaves(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _prediction(model):
    """Returns the layer that makes the scores, or None where the model ends in features."""
    graph = _functional(model)
    makers = {id(x): op for op in graph.operations for x in keras.tree.flatten(op.output)}
    x, classes = graph.outputs[0], graph.outputs[0].shape[-1]
    while True:
        layer = makers.get(id(x))
        # A functional model's output is its own and not that of the call, so what calls one has no maker.
        if layer is None or isinstance(layer, keras.Model):
            raise ValueError(
                f"{model.name}'s head is inside a model that it holds, or shared; give that model itself"
            )
        if getattr(layer, "weights", None):
            pixelwise = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
            pixelwise = pixelwise and len(graph.outputs[0].shape) == 2 and layer.filters == classes
            return layer if isinstance(layer, keras.layers.Dense) or pixelwise else None
        sources = keras.tree.flatten(layer.input)
        if len(sources) != 1 or isinstance(layer, keras.layers.InputLayer):
            return None
        x = sources[0]


def _start(body, unfreeze):
    """Returns the index of the body's first layer that trains."""
    if unfreeze in ("head", "all"):
        return len(body) if unfreeze == "head" else 0
    if isinstance(unfreeze, str) and unfreeze:
        whole = re.compile(re.escape(unfreeze) + r"(?!\d)")
        for index, layer in enumerate(body):
            if whole.match(layer.name):
                return index
    stages = list(dict.fromkeys(layer.name.split("_")[0] for layer in body if layer.weights))
    names = ["head", "all", *stages, *(layer.name for layer in body)]
    raise ValueError(
        f"unfreeze is head, all, or how a layer's name begins, not {unfreeze!r}."
        f"{nearest(str(unfreeze), names)} Layers begin with: {', '.join(stages[:9])}"
        f"{' ...' if stages[9:] else ''}"
    )


def _refuse_hidden_batch_norms(model, norms):
    known = {id(value) for norm in norms for value in norm.weights}
    for value in model.weights:
        if value.name == "moving_mean" and id(value) not in known:
            raise ValueError(
                f"{model.name}: {value.path} belongs to a batch norm inside another layer, which "
                'cannot be frozen by itself; batch_norm="train" leaves it alone'
            )
