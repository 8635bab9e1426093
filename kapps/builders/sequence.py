"""Builders of networks on sequences: of tokens, of vectors, of frames."""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import layers

from kapps import heads
from kapps.builders._builder import Builder
from kapps.builders._builder_arguments import (
    ALLOW_NAN,
    INCLUDE_TOP,
    PORTABLE,
    Argument,
    check_positive,
    input_shape_of,
    name_argument,
)
from kapps.builders._prefix import own_inputs
from kapps.weights import loading

AXES = {
    1: ("steps",),
    2: ("steps", "features"),
    4: ("steps", "height", "width", "channels"),
}
"""The axes of an input without the batch, by their number."""

SENTENCES = ("sentences", "words")
"""The axes of an input of tokens with two axes."""

KINDS = {1: "tokens", 2: "sequence", 4: "frames"}
"""The kind of a network and the name of its input, by the number of axes."""


def axes_of(defaults):
    """Returns the names of the axes of a family's input without the batch."""
    axes = AXES[len(defaults["input_shape"])]
    return SENTENCES if defaults["kind"] == "tokens" and len(axes) == 2 else axes


class SequenceBuilder(Builder):
    """Builds networks on one or several sequences of tokens, vectors or frames."""

    def arguments(self):
        defaults = self.defaults
        axes, inputs = axes_of(defaults), defaults["inputs"]
        head, has_classes = self.heads["head"] is not None, self.has_classes
        tensor = "keras.KerasTensor | None"
        several = ""
        if len(inputs) > 1:
            tensor = "Sequence[keras.KerasTensor] | None"
            several = f", a list of {len(inputs)}: {' and '.join(inputs)},"
        of_source = " of the source" if defaults["target_shape"] else ""
        arguments = [
            Argument(
                "weights",
                None,
                "str | os.PathLike[str] | None",
                "`None` (random initialisation) or the path of a `.weights.h5` or `.keras` file of this model. Only\n"
                "            arrays are read from the file.",
            ),
            Argument(
                "input_tensor",
                None,
                tensor,
                f"Keras tensor ({', '.join(('batch', *axes))}){several} to use as input instead of a new\n"
                "            input. It has the shape, so input_shape is not needed.",
            ),
            Argument(
                "input_shape",
                None,
                f"tuple[{', '.join(['int | None', *['int'] * (len(axes) - 1)])}] | None",
                f"{_tuple(axes)}{of_source}, by default {defaults['input_shape']}. The number of steps may be None "
                "for any.",
            ),
        ]
        if head and has_classes:
            count = "int | None" if defaults["classes"] is None else "int"
            tokens = ", by default the number of tokens" if defaults["classes"] is None else ""
            arguments = [
                INCLUDE_TOP,
                *arguments,
                Argument(
                    "pooling",
                    None,
                    'Literal["avg"] | None',
                    'without the classifier, "avg" for the mean over the steps that are not padding, None for\n'
                    "            all steps.",
                ),
                Argument(
                    "classes",
                    defaults["classes"],
                    count,
                    f"width of the prediction layer{tokens}.",
                ),
            ]
        if head:
            activation = Argument(
                "classifier_activation",
                "softmax",
                "str | Callable | None",
                "activation after the logits; None for logits.",
            )
            arguments.append(activation)
        arguments += [name_argument(self.name), PORTABLE, ALLOW_NAN]
        if defaults["vocabulary"]:
            vocabulary = Argument(
                "vocabulary",
                defaults["vocabulary"],
                "int",
                "number of tokens, padding (0) included.",
            )
            arguments.append(vocabulary)
        return arguments

    @property
    def has_classes(self):
        """Whether the predictions have a fixed number of classes; otherwise the source's length sets it."""
        return bool(self.defaults["classes"] or self.defaults["vocabulary"])

    def options(self):
        options = super().options()
        options.pop("vocabulary", None)
        return options

    def sizes(self):
        sizes = {"tokens": self.card.vocabulary, "classes": self.card.classes}
        texts = [f"{size:,} {name}" for name, size in sizes.items() if size]
        return f" at {' and '.join(texts)}" if texts else ""

    def returns(self):
        axes, inputs = axes_of(self.defaults), self.defaults["inputs"]
        dtype = "int32 tokens" if self.defaults["kind"] == "tokens" else "float32"
        several = f", a list of {' and '.join(inputs)}," if len(inputs) > 1 else ""
        outputs = "float32 predictions (batch, ..., classes) or to features"
        if self.heads["head"] is None:
            outputs = "the body's output"
        return (
            f"A functional `keras.Model` from {dtype} ({', '.join(('batch', *axes))}){several}\n"
            f"        to {outputs}."
        )

    def build(
        self, options, *, weights, input_tensor, input_shape, name, portable, allow_nan, include_top=True, pooling=None,
        classes=None, classifier_activation=None, vocabulary=None,
    ):  # fmt: skip
        head = self.heads["head"]
        if pooling not in (None, "avg"):
            raise ValueError(f'{name}: pooling={pooling!r} is not None or "avg"')
        if pooling and include_top:
            raise ValueError(f"{name}: pooling={pooling!r} needs include_top=False")
        if vocabulary is not None:
            check_positive(name, vocabulary=vocabulary)
            options = {**options, "vocabulary": vocabulary}
        if head and include_top and self.has_classes:
            classes = vocabulary if classes is None else classes
            check_positive(name, classes=classes)
        tensors = self.inputs(name, input_tensor, input_shape)
        inputs = tensors if name == self.name else own_inputs(tensors)
        path = None if weights is None else loading.find_weights(weights, self.weights_name(), name)
        with self.graph_scope(path, portable) as waiting:
            x = self.body(inputs[0] if len(inputs) == 1 else tuple(inputs), **options)
            if isinstance(x, tuple):
                x, head = x
                if isinstance(head, layers.Layer):
                    head = partial(heads.tied_classifier, embedding=head)
            if head and include_top:
                x = head(x, classes, classifier_activation)
            elif pooling:
                if len(x.shape) != 3:
                    raise ValueError(f"{name}: pooling={pooling!r}: the features have no steps")
                x = layers.GlobalAveragePooling1D(name="head_pool")(x)
        return self.finish(tensors, inputs, x, path, name, portable, allow_nan, waiting=waiting)

    def inputs(self, name, input_tensor, input_shape):
        """Returns the Keras tensors of the inputs, after a check of their shapes."""
        names, default = self.defaults["inputs"], tuple(self.defaults["input_shape"])
        dtype = "int32" if self.defaults["kind"] == "tokens" else "float32"
        dtypes = dict.fromkeys(names, dtype)
        shapes = dict.fromkeys(names, default)
        if self.defaults["target_shape"] is not None:
            dtypes["target"], shapes["target"] = "int32", self.defaults["target_shape"]
        passed = input_tensor if isinstance(input_tensor, (list, tuple)) else [input_tensor]
        if input_tensor is None:
            passed = [None] * len(names)
        if len(passed) != len(names):
            raise ValueError(
                f"{name}: input_tensor={input_tensor!r} is not a list of {len(names)}: {' and '.join(names)}"
            )
        tensors = []
        for input_name, tensor in zip(names, passed, strict=True):
            default, is_source = shapes[input_name], input_name == names[0]
            of_input = input_shape if is_source or default == shapes[names[0]] else None
            shape = input_shape_of(name, tensor, of_input, default)
            if len(shape) != len(default) or None in shape[1:]:
                axes = axes_of(self.defaults | {"input_shape": default})
                raise ValueError(
                    f"{name}: input_shape={shape} is not {_tuple(axes)}, for example {default}"
                )
            if tensor is None:
                tensor = keras.Input(shape, dtype=dtypes[input_name], name=input_name)
            tensors.append(tensor)
        return tensors


def _tuple(axes):
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"


def sequence_family(
    *,
    shape: tuple[int | None, ...],
    vocabulary: int | None = None,
    classes: int | None = None,
    head: Callable | None = heads.classifier,
    inputs: Sequence[str] | None = None,
    target_shape: tuple[int | None, ...] | None = None,
) -> Callable[[Callable], Callable[..., keras.Model]]:
    """Returns a decorator that makes a family function of `body(x, *, options) -> features`, as `image_family` does.

    Args:
        shape: default shape of the input without the batch: (steps,) or (sentences, words) of tokens, (steps, features)
            of vectors, (steps, height, width, channels) of frames. The number of steps may be None.
        vocabulary: default number of tokens, which the body takes under this name; None for vectors and frames. With a
            target_shape it is that of the target.
        classes: default width of the prediction layer; None for the number of tokens.
        head: `head(x, classes, activation) -> predictions`, of every step if the body returns steps; None if the
            body's output is the prediction. A body that returns (x, embedding) has `kapps.heads.tied_classifier`,
            one that returns (x, head) has that head.
        inputs: names of several inputs, which the body takes as a tuple; by default one input called "tokens",
            "sequence" or "frames".
        target_shape: shape of the input "target", int32, without the batch, if it differs from the source's, which is
            then float32. `classes` of None without a vocabulary then means that the source's length sets the number of
            classes.
    """

    def decorate(body):
        kind = "tokens" if vocabulary and target_shape is None else KINDS[len(shape)]
        defaults = dict(
            minimum=1, input_shape=shape, classes=classes, vocabulary=vocabulary, inputs=inputs or (kind,),
            kind=kind, preprocessing=None, any_size=shape[0] is None, target_shape=target_shape,
        )  # fmt: skip
        return SequenceBuilder(body, None, {}, None, defaults, {"head": head}).function()

    return decorate
