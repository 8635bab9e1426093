"""Builders of networks on sequences: of tokens, of vectors, of frames."""

from functools import partial

import keras
from keras import layers

from kapps import heads
from kapps.builders._builder import COMMON, Builder, given_shape, positive
from kapps.weights import loading

SEQUENCES = """
    Args:{top}
        weights: None for random ones, or the path of a `.weights.h5` or `.keras` file of this model, of which the
            numbers alone are read.
        input_tensor: a Keras tensor {axes} to build upon instead of a new input{each};
            it has the shape, so input_shape is left out.
        input_shape: {shape}, by default {input_shape}; the number of steps may be None for any.{rest}

    Returns:
        A functional `keras.Model` from {takes}
        to {gives}.
"""

TOP = """
        include_top: whether to end in the classifier; without it the model ends in the features."""

HEAD = """
        pooling: without the classifier, "avg" for the mean over the steps that are no padding, None for all.
        classes: width of the prediction layer{many}.
        classifier_activation: what follows the logits, by Keras's name; None for bare logits."""

VOCABULARY = """
        vocabulary: how many tokens there are, padding (0) among them."""


AXES = {
    1: ("steps",),
    2: ("steps", "features"),
    4: ("steps", "height", "width", "channels"),
}
"""What the numbers of an input's shape are, by how many there are."""


class Sequences(Builder):
    """Of networks on sequences: of tokens, of vectors, of frames; one, or several beside each other."""

    def common(self):
        common = super().common()
        if self.ends["head"] is None:
            for key in ("include_top", "pooling", "classes", "classifier_activation"):
                del common[key]
        if self.defaults["vocabulary"]:
            common["vocabulary"] = self.defaults["vocabulary"]
        return common

    def options(self):
        found = super().options()
        found.pop("vocabulary", None)
        return found

    def at(self):
        sizes = {"tokens": self.card.vocabulary, "classes": self.card.classes}
        said = [f"{size:,} {what}" for what, size in sizes.items() if size]
        return f" at {' and '.join(said)}" if said else ""

    def arguments(self):
        shape, names = self.defaults["input_shape"], self.defaults["inputs"]
        tokens, head = self.defaults["vocabulary"], self.ends["head"]
        axes = AXES[1 if tokens else len(shape)]
        many = (
            ", by default as many as tokens" if tokens and self.defaults["classes"] is None else ""
        )
        answers = "float32 predictions (batch, ..., classes) or to features"
        return SEQUENCES.format(
            top=TOP if head else "",
            axes=f"({', '.join(('batch', *axes))})",
            each=f", or {len(names)} of them, {' and '.join(names)}" if len(names) > 1 else "",
            shape=f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})",
            input_shape=shape,
            rest=(HEAD.format(many=many) if head else "") + (VOCABULARY if tokens else "") + COMMON,
            takes=f"{'whole-numbered tokens' if tokens else 'float32'} ({', '.join(('batch', *axes))})"
            + (f", a list of {' and '.join(names)}," if len(names) > 1 else ""),
            gives=answers if head else "what the body returns",
        )

    def build(
        self, options, *, weights, input_tensor, input_shape, name, portable, include_top=True, pooling=None,
        classes=None, classifier_activation=None, vocabulary=None,
    ):  # fmt: skip
        head = self.ends["head"]
        if pooling not in (None, "avg"):
            raise ValueError(f'{name}: pooling is None or "avg", not {pooling!r}')
        if pooling and include_top:
            raise ValueError(f"{name}: pooling={pooling!r} goes with include_top=False alone")
        if vocabulary is not None:
            positive(name, vocabulary=vocabulary)
            options = {**options, "vocabulary": vocabulary}
        if head and include_top:
            classes = vocabulary if classes is None else classes
            positive(name, classes=classes)
        given = self.given(name, input_tensor, input_shape)
        path = None if weights is None else loading.located(weights, self.published(), name)
        x = self.body(given[0] if len(given) == 1 else tuple(given), **options)
        if isinstance(x, tuple):
            x, embedding = x
            head = partial(heads.tied_classifier, embedding=embedding)
        if head and include_top:
            x = head(x, classes, classifier_activation)
        elif pooling:
            if len(x.shape) != 3:
                raise ValueError(f"{name}: its features have no steps, so pooling stays None")
            x = layers.GlobalAveragePooling1D(name="head_pool")(x)
        inputs = list(
            dict.fromkeys(i for each in given for i in keras.utils.get_source_inputs(each))
        )
        return self.finished(inputs, x, path, name, portable)

    def given(self, name, input_tensor, input_shape):
        """Returns the Keras tensors that the body starts from, their shapes checked."""
        names, default = self.defaults["inputs"], tuple(self.defaults["input_shape"])
        dtype = "int32" if self.defaults["vocabulary"] else "float32"
        tensors = (
            input_tensor if isinstance(input_tensor, (list, tuple)) else [input_tensor] * len(names)
        )
        if len(tensors) != len(names) or (
            len(names) > 1 and keras.utils.is_keras_tensor(input_tensor)
        ):
            raise ValueError(f"{name}: input_tensor is {len(names)}: {' and '.join(names)}")
        found = []
        for each, tensor in zip(names, tensors, strict=True):
            shape = given_shape(name, tensor, input_shape, default)
            if len(shape) != len(default) or None in shape[1:]:
                axes = AXES[len(default)]
                raise ValueError(
                    f"{name}: input_shape is ({', '.join(axes)}{',' * (len(axes) == 1)}), for example {default}, "
                    f"not {shape}"
                )
            found.append(keras.Input(shape, dtype=dtype, name=each) if tensor is None else tensor)
        return found
