"""What a builder is: a family's body, bound to one row of its table, with the signature of Keras Applications.

A family file decorates its body, a function from a picture to a feature map, with `family`, and lists its
variants below it, one line each, with `variant`:

    @family(minimum=32)
    def resnet(x, *, depths, block=bottleneck): ...

    resnet50 = variant(resnet, "resnet50", depths=(3, 4, 6, 3), paper="arXiv:1512.03385", params=25_557_032)

Both are functions that return a `keras.Model`: `resnet50()` builds the row, `resnet(depths=(2, 2, 2, 2))` any
other member of the family.
"""

import inspect
import math
import re

import keras

from kapps import heads
from kapps.cards import IMAGENET, Card, nearest
from kapps.layers import stock as to_stock
from kapps.weights import loading

ARGUMENTS = """
    Args:
        include_top: whether to end in the classifier; without it the model ends in the features.
        weights: None for random ones; "imagenet" for published ones, fetched once and checked; or the path of a file,
            of which the numbers alone are read: `.weights.h5` or `.keras` of this model, `.safetensors`, `.pth` or
            Keras Applications' `.h5` of the same network in another library. With other `classes` than the published
            weights' {classes} the prediction layer stays as drawn; one channel takes the sum of the first kernel's
            three, four take 3/4 of them and of their mean; without the classifier a file may have one.
        input_tensor: a Keras tensor (batch, height, width, channels) to build upon instead of a new input; it has
            the shape, so input_shape is left out.
        input_shape: (height, width, channels), by default {input_shape}; height and width at least {minimum},
            or None for any.
        pooling: without the classifier, "avg" or "max" for global pooling, None for the feature map.
        classes: width of the prediction layer.
        classifier_activation: what follows the logits, by Keras's name; None for bare logits.
        name: of the model.
        stock: use Keras's own layers only, so that a saved model loads where kapps is not installed.{auxiliary}

    Returns:
        A functional `keras.Model` from pictures (batch, height, width, channels), preprocessed as the card
        says, to float32 predictions (batch, classes) or to features.

    Raises:
        ValueError: for an argument that is not allowed, with what is.
        TypeError: for an argument that does not exist, with the nearest that does.
"""

AUXILIARY = """
        auxiliary: with the classifier, the paper's auxiliary classifiers too, for training: the outputs are the
            predictions, then theirs (see `kapps.training.auxiliary`)."""


def family(
    *, minimum, input_shape=(224, 224, 3), classes=1000, preprocessing=IMAGENET, any_size=True,
    head=heads.average, auxiliary=None,
):  # fmt: skip
    """Makes a body, a function `body(x, *, options) -> x`, a builder that takes the body's options too.

    Args:
        minimum: smallest height and width that the family builds, in pixels.
        input_shape: (height, width, channels) where a caller names none.
        classes: width of the prediction layer where a caller names none.
        preprocessing: what the family's pictures go through.
        any_size: whether height and width may stay open with the head too; not where it reads a flattened map.
        head: `head(x, classes, activation) -> predictions`, from the body's feature map.
        auxiliary: `auxiliary(x, classes, activation, name) -> predictions` named `name`, where the body returns
            (x, [feature maps inside it]): the heads that the builder's auxiliary=True adds. The body itself
            knows of no option.
    """

    def decorate(body):
        defaults = dict(
            minimum=minimum, input_shape=input_shape, classes=classes, preprocessing=preprocessing, any_size=any_size
        )  # fmt: skip
        ends = {"head": head, "auxiliary": auxiliary}
        return Builder(body, body.__name__, {}, None, defaults, ends).function()

    return decorate


def variant(body, name, *, paper, params, macs=None, preprocessing=None, head=None, **row):
    """Returns the builder of one row of a family's table.

    Args:
        body: the decorated body.
        name: the builder's public name.
        paper: arXiv number or citation.
        params: trainable parameters at the family's default classes, from the paper or a second
            implementation; the conformance suite holds the builder to it.
        macs: multiply-accumulates of convolutions and dense layers on one picture of the row's input shape, from
            the paper or a second implementation; None where nobody gives them.
        preprocessing: what the row's pictures go through where it is not the family's; the row's input has its size.
        head: the row's where it is not the family's.
        **row: the body's options.
    """
    builder = body.builder
    unknown_options(f"{name}'s row", row, builder.options())
    defaults, ends = builder.defaults, builder.ends
    if preprocessing:
        shape = (*preprocessing.size, defaults["input_shape"][-1])
        defaults = {**defaults, "preprocessing": preprocessing, "input_shape": shape}
    if head:
        ends = {**ends, "head": head}
    module = builder.body.__module__
    about = Card(name, builder.name, module, paper, params, macs=macs, **defaults)
    return Builder(builder.body, name, row, about, defaults, ends).function()


class Builder:
    """A body, the row that binds its options, what the signature's defaults are, and the heads."""

    def __init__(self, body, name, row, card, defaults, ends):
        self.body, self.name, self.row, self.card = body, name, row, card
        self.defaults, self.ends = defaults, ends

    def options(self):
        """Returns the parameters of the body that a row or a caller may set, by name."""
        return dict(list(inspect.signature(self.body).parameters.items())[1:])

    def function(self):
        """Returns the builder as a plain function with a signature, a docstring and, for a row, a card."""
        free = {} if self.card else self.options()

        def function(*args, **kwargs):
            unknown_options(f"{self.name}()", kwargs, function.__signature__.parameters)
            bound = function.__signature__.bind(*args, **kwargs)
            bound.apply_defaults()
            options = {key: bound.arguments.pop(key) for key in free}
            return self.build({**self.row, **options}, **bound.arguments)

        function.__signature__ = self.signature(free.values())
        function.__name__ = function.__qualname__ = self.name
        function.__module__ = self.body.__module__
        function.__doc__ = self.document()
        function.builder, function.card = self, self.card
        return function

    def signature(self, options):
        common = {
            "include_top": True,
            "weights": None,
            "input_tensor": None,
            "input_shape": None,
            "pooling": None,
            "classes": self.defaults["classes"],
            "classifier_activation": "softmax",
            "name": self.name,
            "stock": False,
        }
        if self.ends["auxiliary"]:
            common["auxiliary"] = False
        keyword, either = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter(key, either, default=value) for key, value in common.items()
        ]
        return inspect.Signature(
            [*parameters, *(option.replace(kind=keyword) for option in options)]
        )

    def document(self):
        if self.card:
            row = ", ".join(
                f"{key}={getattr(value, '__name__', value)}" for key, value in self.row.items()
            )
            head = (
                f"{self.name}: {self.card.paper}; {row}.\n\n"
                f"    {self.card.params:,} trainable parameters at {self.card.classes:,} classes.\n"
            )
        else:
            head = f"Any member of the family.\n\n    {inspect.cleandoc(self.body.__doc__ or '')}\n"
        auxiliary = AUXILIARY if self.ends["auxiliary"] else ""
        return head + ARGUMENTS.format(**self.defaults, auxiliary=auxiliary)

    def build(
        self, options, *, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name, stock, auxiliary=False,
    ):  # fmt: skip
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                f"{name}: kapps builds channels_last models, but Keras is set to "
                f"{keras.config.image_data_format()}; call keras.config.set_image_data_format('channels_last')"
            )
        if pooling not in (None, *heads.POOLINGS):
            raise ValueError(f'{name}: pooling is None, "avg" or "max", not {pooling!r}')
        if include_top and not (isinstance(classes, int) and classes > 0):
            raise ValueError(f"{name}: classes is a positive whole number, not {classes!r}")
        if auxiliary and not include_top:
            raise ValueError(
                f"{name}: auxiliary=True adds classifiers, so it goes with include_top=True alone"
            )
        image = self.image(name, input_tensor, input_shape)
        published = self.card.name if self.card else self.body.__name__
        if include_top and not self.defaults["any_size"] and None in image.shape[1:3]:
            raise ValueError(
                f"{name}: its classifier reads a map of one size, so height and width are numbers, "
                f"not {tuple(image.shape[1:])}; include_top=False takes any"
            )
        path = None if weights is None else loading.located(weights, published, name)
        x = self.body(image, **options)
        x, inside = x if isinstance(x, tuple) else (x, [])
        if include_top:
            x = self.top(name, x, pooling, classes, classifier_activation)
            if auxiliary:
                head = self.ends["auxiliary"]
                x = [x] + [
                    head(each, classes, classifier_activation, f"auxiliary{i}")
                    for i, each in enumerate(inside, start=1)
                ]
        elif pooling:
            x = heads.pool(x, pooling)
        inputs = keras.utils.get_source_inputs(image)
        model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, x, name=name)
        if stock:
            model = to_stock(model)
        if path is not None:
            loading.load(model, path, published, self.body.__name__, self.defaults["classes"])
        return model

    def top(self, name, x, pooling, classes, activation):
        """Returns the predictions from the feature map, by the family's head."""
        head = self.ends["head"]
        if not pooling:
            return head(x, classes, activation)
        if getattr(head, "func", head) is not heads.average:
            raise ValueError(
                f"{name}: its classifier does not pool, so pooling={pooling!r} goes with include_top=False alone"
            )
        return head(x, classes, activation, pooling=pooling)

    def image(self, name, input_tensor, input_shape):
        """Returns the Keras tensor that the body starts from, its shape checked."""
        if input_tensor is None:
            shape = tuple(self.defaults["input_shape"] if input_shape is None else input_shape)
        elif not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(
                f"{name}: input_tensor is a Keras tensor such as keras.Input returns, not {input_tensor!r}"
            )
        elif input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
            raise ValueError(
                f"{name}: input_tensor is {tuple(input_tensor.shape[1:])}, input_shape {tuple(input_shape)}; give one"
            )
        else:
            shape = tuple(input_tensor.shape[1:])
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"{name}: input_shape is (height, width, channels), for example (224, 224, 3), not {shape}"
            )
        if any(side is not None and side < self.defaults["minimum"] for side in shape[:2]):
            raise ValueError(
                f"{name}: input_shape is {shape}, but height and width must be at least {self.defaults['minimum']}"
            )
        return keras.Input(shape, name="image") if input_tensor is None else input_tensor


def unknown_options(what, given, allowed):
    """Raises TypeError in one line where `given` names something that is not in `allowed`."""
    for key in given:
        if key not in allowed:
            raise TypeError(
                f"{what} takes no {key!r}.{nearest(key, allowed)} Allowed: {', '.join(allowed)}"
            )


def endpoints(model):
    """Returns the features at each level: {level: Keras tensor}, 1 / 2**level of the input's resolution.

    A level's features are the output of the last layer that stands in it. The levels are read off the layer
    names (`level3_block2_add`) and, for the tail, off its strides, so a loaded model has them too.

    Args:
        model: a `keras.Model` that a kapps builder made, with or without its head.

    Raises:
        ValueError: if no layer's name says its level.
    """
    found, stride = {}, 1
    for layer in model.layers:
        match = re.match(r"(tail|level(\d+))_", layer.name)
        if match is None or isinstance(layer, keras.layers.ZeroPadding2D):
            continue  # padding belongs to the layer after it
        if match[1] == "tail":
            stride *= max(getattr(layer, "strides", (1,)))
        found[math.frexp(stride)[1] - 1 if match[2] is None else int(match[2])] = layer.output
    if not found:
        raise ValueError(f"{model.name} has no layers named by level, so it is no kapps model")
    return dict(sorted(found.items()))
