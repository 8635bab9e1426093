"""Fine-tuning: a trained classifier gets a new head, and its batch norms and first layers can be frozen.

Batch norms are easy to train by accident in Keras: `training=False` in the call of a body is not kept in `fit`, and
`trainable = False` followed by `True` on a model unfreezes every batch norm. Only `trainable = False` on each batch
norm itself is reliable: the layer then uses its moving statistics, and a `.keras` file keeps the attribute.
"""

import re

import keras

from kapps import heads
from kapps._checked import check_argument
from kapps._names import nearest
from kapps._values import check_model_name, is_integer, short
from kapps.builders._weight_limit import limit_weights
from kapps.model_record import layer_at, parse_layer_name, prefixes, without_prefix
from kapps.preprocessing import Preprocessing
from kapps.training.rebuilding import copy_weights, leaves, make_record, rebuild

BATCH_NORMS = ("frozen", "train")


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
    preprocessing: Preprocessing | str | None = None,
) -> keras.Model:
    """Returns a new model: the body of `model` with its weights, and a new head for other classes.

    The body is everything before the prediction layer, which is the last dense layer or 1x1 convolution; for a model
    without one it is the whole model. A feature map at the end of the body is pooled by global average pooling. The
    new head computes in float32. `set_trainable` sets which layers train; call it again for a second stage, for
    example first the head, then more layers. The new model is not compiled, `model` is not changed, and a saved file
    contains only layers of `model` and of Keras.

    Args:
        model: a functional or sequential `keras.Model` from images (batch, height, width, channels) to
            scores (batch, classes) or to features; it may contain other such models.
        classes: width of the new prediction layer, at least 2.
        unfreeze: as for `set_trainable`.
        batch_norm: as for `set_trainable`.
        input_shape: new (height, width, channels) in pixels, by default the shape of `model`; height and width may be
            None. Only a body whose weights do not depend on the size can have another; a dense layer on a flattened
            feature map depends on it.
        precision: dtype policy of every layer of the body, such as "mixed_bfloat16"; None (the default) keeps the
            policies of `model`, which do not depend on the global policy.
        classifier_activation: activation after the logits, by Keras's name; None returns the logits.
        name: name of the new model, by default that of `model`.
        preprocessing: of the images that the new model is trained on, or its name, as for
            `kapps.preprocessing.get_preprocessing`. None for that of `model`, if it is known. The new model records
            it, so that exports use it.

    Raises:
        ValueError: for an invalid argument, with the allowed values; for a model of another kind; for an
            `input_shape` that does not fit the layers or weights of the body.
    """
    _check_graph(model)
    if not is_integer(classes, 2, 2**24):
        raise ValueError(f"classes={short(classes)} is not an integer from 2 to {2**24:,}")
    if name is not None:
        check_model_name(name)
    keras.activations.get(classifier_activation)
    model = _functional(model)
    shape = _input_shape(model, input_shape)
    record = make_record(model, preprocessing, shape)
    copy = rebuild(model, shape, record)
    if precision is not None:
        for layer in leaves(copy):
            layer.dtype_policy = precision
        copy = rebuild(copy, shape, record)  # so that its graph has the precision too
    prediction = _prediction(copy)
    copy_weights(model, copy, prediction, shape)
    x = copy.outputs[0] if prediction is None else prediction.input
    if len(x.shape) == 4:
        # The input of a 1x1 convolution may be pooled to one pixel already, by a layer named head_pool.
        body = keras.Model(copy.inputs[0], x)
        pooled = layer_at(body, "head_pool") is not None
        x = keras.layers.Flatten(name="head_flatten")(x) if pooled else heads.pool(x, "avg")
    elif len(x.shape) != 2:
        raise ValueError(
            f"{model.name} ends in features {x.shape}; a head takes (batch, channels) or a feature map "
            "(batch, height, width, channels)"
        )
    with limit_weights("finetune"):
        x = heads.classifier(x, classes, classifier_activation)
    tuned = keras.Model(copy.inputs[0], x, name=name or model.name)
    set_trainable(tuned, unfreeze=unfreeze, batch_norm=batch_norm)
    return tuned


def set_trainable(model: keras.Model, *, unfreeze: str, batch_norm: str = "frozen") -> None:
    """Sets in place which layers train; the prediction layer always does. Compile the model afterwards.

    A frozen batch norm uses its moving statistics; its gamma, beta, moving mean and moving variance do not change by
    a bit, in a saved and loaded model too. Use this function and not `model.trainable` to change which layers train:
    `False` followed by `True` unfreezes every layer. Layers that contain layers, such as MultiHeadAttention, are not
    frozen any more after loading a `.keras` file (Keras 3.15); call this function again on the loaded model.

    Args:
        model: a model that `finetune` returned or accepts.
        unfreeze: the layers that train in addition to the prediction layer: "head" for none, "all" for the whole body,
            or the start of a layer's name, such as "level4", for the body from that layer on, in the order of
            `model.summary()`. Numbers match completely: "level1" does not match "level10".
        batch_norm: "frozen" freezes every batch norm; "train" freezes only those before the first layer that trains.

    Raises:
        ValueError: for an invalid argument, with the allowed values; if no layer would train; for a batch norm inside
            another layer, which cannot be frozen separately.
    """
    _check_graph(model)
    if batch_norm not in BATCH_NORMS:
        raise ValueError(f"batch_norm={batch_norm!r}: must be one of {', '.join(BATCH_NORMS)}")
    prediction = _prediction(model)
    body = [layer for layer in leaves(model) if layer is not prediction]
    start = _start(body, unfreeze, prefixes(model))
    norms = [layer for layer in body if isinstance(layer, keras.layers.BatchNormalization)]
    frozen = [*body[:start], *(norms if batch_norm == "frozen" else ())]
    if batch_norm == "frozen":
        _check_nested_batch_norms(model, norms)
    if prediction is None and not any(layer.weights for layer in body[start:]):
        raise ValueError(f"{model.name} has no prediction layer, so nothing trains at {unfreeze!r}")
    # An assignment of the current value does not reach nested layers on TensorFlow; one of these two does.
    model.trainable = False
    model.trainable = True
    for layer in frozen:
        layer.trainable = False


def _check_graph(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, not {type(model).__name__}")
    if not (hasattr(model, "operations") or (isinstance(model, keras.Sequential) and model.built)):
        raise ValueError(
            f"{model.name} has no graph; build it from keras.Input, as functional or sequential model"
        )
    if (len(model.inputs), len(model.outputs)) != (1, 1):
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "fine-tuning needs one of each"
        )


def _functional(model):
    """Returns the model, or a functional model of the layers of a sequential one, which has `operations`."""
    if hasattr(model, "operations"):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _input_shape(model, input_shape):
    """Returns the shape of one image, by default that of the model."""
    default = tuple(model.inputs[0].shape[1:])
    if input_shape is None:
        return default
    check_argument("finetune", "input_shape", input_shape, tuple[int | None, ...])
    shape = tuple(input_shape)
    sizes = all(side is None or (isinstance(side, int) and side > 0) for side in shape[:-1])
    if len(shape) != len(default) or shape[-1] != default[-1] or not sizes:
        raise ValueError(
            f"{model.name}: input_shape={shape}: must have positive sizes or None and {default[-1]} channels, "
            f"like the model's {default}"
        )
    return shape


def _prediction(model):
    """Returns the layer that computes the scores, or None if the model ends in features."""
    graph = _functional(model)
    producers = {id(x): op for op in graph.operations for x in keras.tree.flatten(op.output)}
    x, classes = graph.outputs[0], graph.outputs[0].shape[-1]
    while True:
        layer = producers.get(id(x))
        # The outputs of a functional model are not those of its call, so a nested model has no producer here.
        if layer is None or isinstance(layer, keras.Model):
            raise ValueError(
                f"the head of {model.name} is inside a nested model, or shared; give the nested model"
            )
        if getattr(layer, "weights", None):
            pixelwise = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
            pixelwise = pixelwise and len(graph.outputs[0].shape) == 2 and layer.filters == classes
            return layer if isinstance(layer, keras.layers.Dense) or pixelwise else None
        sources = keras.tree.flatten(layer.input)
        if len(sources) != 1 or isinstance(layer, keras.layers.InputLayer):
            return None
        x = sources[0]


def _start(body, unfreeze, networks):
    """Returns the index of the body's first layer that trains."""
    if unfreeze in ("head", "all"):
        return len(body) if unfreeze == "head" else 0
    if isinstance(unfreeze, str) and unfreeze:
        pattern = re.compile(re.escape(unfreeze) + r"(?!\d)")
        for index, layer in enumerate(body):
            names = (layer.name, without_prefix(layer.name, networks))
            if not parse_layer_name(layer.name) and any(map(pattern.match, names)):
                return index
    places = [without_prefix(layer.name, networks) for layer in body if layer.weights]
    stages = list(dict.fromkeys(name.split("_")[0] for name in places))
    names = ["head", "all", *stages, *places]
    raise ValueError(
        f"unfreeze={unfreeze!r}: must be head, all, or the start of a layer's name."
        f"{nearest(str(unfreeze), names)} Layers begin with: {', '.join(stages[:9])}"
        f"{' ...' if stages[9:] else ''}"
    )


def _check_nested_batch_norms(model, norms):
    visible = {id(value) for norm in norms for value in norm.weights}
    for value in model.weights:
        if value.name == "moving_mean" and id(value) not in visible:
            raise ValueError(
                f"{model.name}: {value.path} belongs to a batch norm inside another layer, which "
                'cannot be frozen separately; use batch_norm="train"'
            )
