"""Builders of networks on images."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import keras

from kapps import heads
from kapps._names import nearest
from kapps._values import is_integer, short
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
from kapps.layers.padding import PADDINGS, strided_padding
from kapps.model_record import FILE, RANDOM, ModelRecord
from kapps.preprocessing import IMAGENET, Preprocessing
from kapps.pretrained import checkpoints
from kapps.weights import loading
from kapps.weights.published_padding import OtherPaddingError, published_padding

WEIGHTS = """`None` (random initialisation), "imagenet" (pretrained weights, downloaded once and verified), or the
            path of a weights file: `.weights.h5` or `.keras` of this model, or `.safetensors`, PyTorch's or Keras
            Applications' `.h5` of the same network in another library. Only arrays are read from the file. If
            `classes` is not the {classes} of the pretrained weights, the prediction layer keeps its random
            initialisation. The first kernel adapts to one channel (the sum over the three channels) and to four
            (3/4 of each channel, and 3/4 of their mean). Without the classifier the file may still contain one."""

PADDING = """padding of convolutions and poolings with strides: "symmetric" (on every side, as PyTorch's networks) or
            "same" (TensorFlow's SAME, on the right and bottom of a map with an even side); `None` for that of the
            weights, or "{padding}" without weights. Weights of the other padding raise ValueError."""

EXITS = Argument(
    "exits",
    True,
    "bool",
    "with the classifier, whether the outputs are the predictions of all exits, in order, named\n"
    '            "exit1_predictions", "exit2_predictions", ..., "predictions"; False for those of the last exit only.',
)
STOP_AT = Argument(
    "stop_at",
    None,
    "int | None",
    "number of the exit that the network ends at, from 1; `None` for the last. Layers that only later\n"
    "            exits read are not built. A file of weights may be one of the whole network.",
)


class ImageBuilder(Builder):
    """Builds networks on images (batch, height, width, channels)."""

    def arguments(self):
        arguments = [
            INCLUDE_TOP,
            Argument(
                "weights",
                None,
                "str | os.PathLike[str] | None",
                WEIGHTS.format(classes=self.defaults["classes"]),
            ),
            Argument(
                "input_tensor",
                None,
                "keras.KerasTensor | None",
                "Keras tensor (batch, height, width, channels) to use as input instead of a new input. It has\n"
                "            the shape, so input_shape is not needed.",
            ),
            Argument(
                "input_shape",
                None,
                "tuple[int | None, int | None, int] | None",
                f"(height, width, channels), by default {self.defaults['input_shape']}. Height and width are at\n"
                f"            least {self.defaults['minimum']}, or None for any size.",
            ),
            Argument(
                "pooling",
                None,
                'Literal["avg", "max"] | None',
                'without the classifier, "avg" or "max" for global pooling, None for the feature map.',
            ),
            Argument("classes", self.defaults["classes"], "int", "width of the prediction layer."),
            Argument(
                "classifier_activation",
                "softmax",
                "str | Callable | None",
                "activation after the logits; None for logits.",
            ),
            name_argument(self.name),
            PORTABLE,
            ALLOW_NAN,
        ]
        if self.defaults["padding"] in PADDINGS:
            arguments.append(
                Argument(
                    "padding",
                    None,
                    'Literal["symmetric", "same"] | None',
                    PADDING.format(padding=self.defaults["padding"]),
                )
            )
        if self.heads["auxiliary"]:
            auxiliary = Argument(
                "auxiliary",
                False,
                "bool",
                "with the classifier, whether to add the paper's auxiliary classifiers for training. The outputs\n"
                "            are the predictions, then those of the auxiliary classifiers.",
            )
            arguments.append(auxiliary)
        if self.heads["exits"]:
            arguments += [EXITS, STOP_AT]
        return arguments

    def sizes(self):
        return f" at {self.card.classes:,} classes"

    def returns(self):
        return (
            "A functional `keras.Model` from images (batch, height, width, channels), preprocessed as the card\n"
            "        says, to float32 predictions (batch, classes) or to features."
        )

    def build(
        self, options, *, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name, portable, allow_nan, padding=None, auxiliary=False, exits=False,
        stop_at=None,
    ):  # fmt: skip
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                f"{name}: kapps builds channels_last models, but Keras is set to "
                f"{keras.config.image_data_format()}; call keras.config.set_image_data_format('channels_last')"
            )
        if pooling not in (None, *heads.POOLINGS):
            raise ValueError(f'{name}: pooling={pooling!r} is not None, "avg" or "max"')
        if padding not in (None, *PADDINGS):
            raise ValueError(
                f'{name}: padding={padding!r} is not None, "symmetric" or "same"{nearest(str(padding), PADDINGS)}'
            )
        if include_top:
            check_positive(name, classes=classes)
        if auxiliary and not include_top:
            raise ValueError(f"{name}: auxiliary=True adds classifiers and needs include_top=True")
        tensor = self.image(name, input_tensor, input_shape)
        (image,) = [tensor] if name == self.name else own_inputs([tensor])
        if include_top and not self.defaults["any_size"] and None in image.shape[1:3]:
            raise ValueError(
                f"{name}: input_shape={tuple(image.shape[1:])}: the classifier flattens a map of known size; pass "
                "height and width, or include_top=False"
            )
        path = None if weights is None else loading.find_weights(weights, self.weights_name(), name)
        network = partial(
            self.network, tensor, image, options, path, self.record(weights, path), include_top=include_top,
            pooling=pooling, classes=classes, activation=classifier_activation, name=name, portable=portable,
            allow_nan=allow_nan, auxiliary=auxiliary, exits=exits and include_top, stop_at=stop_at,
        )  # fmt: skip
        try:
            return network(padding or published_padding(path) or self.defaults["padding"])
        except OtherPaddingError as error:
            if padding:
                raise ValueError(
                    f"{name}: padding={padding!r}: {path} holds weights of a network with padding={error.padding!r}; "
                    "pass that, or leave padding out"
                ) from error
            return network(error.padding)

    def network(
        self, tensor, image, options, path, record, padding, *, include_top, pooling, classes, activation,
        name, portable, allow_nan, auxiliary, exits, stop_at,
    ):  # fmt: skip
        """Returns the model with one padding, with the weights of a file if `path` is not None."""
        with self.graph_scope(path, portable) as waiting:
            x = keras.layers.Identity(name=record.layer_name())(image)
            with strided_padding(padding):
                x = self.body(x, **options)
            x, inner = x if isinstance(x, tuple) else (x, [])
            last = len(inner) + 1
            if stop_at is not None:
                if not is_integer(stop_at, 1, last):
                    raise ValueError(
                        f"{name}: stop_at={short(stop_at)} is not the number of an exit, which are 1 to {last}"
                    )
                *inner, x = [*inner, x][:stop_at]
            if include_top:
                x = self.predictions(name, x, pooling, classes, activation)
                if auxiliary:
                    head = self.heads["auxiliary"]
                    x = [x] + [
                        head(y, classes, activation, f"auxiliary{i}")
                        for i, y in enumerate(inner, start=1)
                    ]
                if exits and inner:
                    head = self.heads["exits"]
                    earlier = [
                        head(y, classes, activation, f"exit{i}")
                        for i, y in enumerate(inner, start=1)
                    ]
                    x = [*earlier, x]
            elif pooling:
                x = heads.pool(x, pooling)
        is_part = self.heads["exits"] and (stop_at or not exits)
        return self.finish(
            [tensor], [image], x, path, name, portable, allow_nan, options,
            exit_number=(stop_at or last) if is_part else None, waiting=waiting,
        )  # fmt: skip

    def record(self, weights, path) -> ModelRecord:
        """Returns what the model records of itself, for the weights of a file or for random ones."""
        name = self.weights_name()
        row = checkpoints().get(name)
        if (
            row is not None
            and path is not None
            and (weights == "imagenet" or path.name == row.file)
        ):
            return ModelRecord(name, f"{row.source}_{row.checkpoint}", row.preprocessing)
        kind = RANDOM if path is None else FILE
        return ModelRecord(name, kind, self.defaults["preprocessing"])

    def predictions(self, name, x, pooling, classes, activation):
        """Returns the predictions of the family's head."""
        head = self.heads["head"]
        if not pooling:
            return head(x, classes, activation)
        if getattr(head, "func", head) is not heads.global_average_pooling:
            raise ValueError(
                f"{name}: pooling={pooling!r} needs include_top=False: the classifier does not pool"
            )
        return head(x, classes, activation, pooling=pooling)

    def image(self, name, input_tensor, input_shape):
        """Returns the Keras tensor of the images, after a check of its shape."""
        shape = input_shape_of(name, input_tensor, input_shape, self.defaults["input_shape"])
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"{name}: input_shape={shape} is not (height, width, channels), for example (224, 224, 3)"
            )
        minimum = self.defaults["minimum"]
        if any(side is not None and side < minimum for side in shape[:2]):
            raise ValueError(
                f"{name}: input_shape={shape}: height and width must be at least {minimum}"
            )
        return keras.Input(shape, name="image") if input_tensor is None else input_tensor


def image_family(
    *,
    minimum: int,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    preprocessing: Preprocessing = IMAGENET,
    any_size: bool = True,
    padding: Literal["symmetric", "same", "valid"] = "symmetric",
    head: Callable = heads.global_average_pooling,
    auxiliary: Callable | None = None,
    exits: Callable | None = None,
) -> Callable[[Callable], Callable[..., keras.Model]]:
    """Returns a decorator that makes a family function of `body(x, *, options) -> features`.

    Args:
        minimum: smallest height and width that the family builds, in pixels.
        input_shape: default (height, width, channels).
        classes: default width of the prediction layer.
        preprocessing: preprocessing of the family's images.
        any_size: whether height and width may be None with the classifier; False for a classifier that flattens.
        padding: padding of the layers with strides in the authors' code; "valid" if none is padded, and the builders
            then have no argument `padding`.
        head: `head(x, classes, activation) -> predictions` from the body's feature map.
        auxiliary: `auxiliary(x, classes, activation, name) -> predictions`, for a body that returns
            (x, [inner feature maps]); adds the argument `auxiliary` to the builders.
        exits: `exits(x, classes, activation, name) -> predictions`, for a body that returns
            (x, [feature maps of earlier exits]); adds the arguments `exits` and `stop_at` to the builders.
    """

    def decorate(body):
        defaults = dict(
            minimum=minimum, input_shape=input_shape, classes=classes, preprocessing=preprocessing, any_size=any_size,
            padding=padding,
        )  # fmt: skip
        functions = {"head": head, "auxiliary": auxiliary, "exits": exits}
        return ImageBuilder(body, None, {}, None, defaults, functions).function()

    return decorate
