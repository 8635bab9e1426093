"""Builders of networks on images."""

import keras

from kapps import heads
from kapps.builders._builder import COMMON, Builder, given_shape, positive
from kapps.weights import loading

IMAGES = """
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
        classifier_activation: what follows the logits, by Keras's name; None for bare logits.{common}{auxiliary}

    Returns:
        A functional `keras.Model` from images (batch, height, width, channels), preprocessed as the card
        says, to float32 predictions (batch, classes) or to features.
"""

AUXILIARY = """
        auxiliary: with the classifier, the paper's auxiliary classifiers too, for training: the outputs are the
            predictions, then theirs (see `kapps.training.auxiliary_losses`)."""


class Images(Builder):
    """Of networks on images (batch, height, width, channels)."""

    def common(self):
        auxiliary = {"auxiliary": False} if self.ends["auxiliary"] else {}
        return {**super().common(), **auxiliary}

    def at(self):
        return f" at {self.card.classes:,} classes"

    def arguments(self):
        auxiliary = AUXILIARY if self.ends["auxiliary"] else ""
        return IMAGES.format(**self.defaults, common=COMMON, auxiliary=auxiliary)

    def build(
        self, options, *, include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name, portable, auxiliary=False,
    ):  # fmt: skip
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                f"{name}: kapps builds channels_last models, but Keras is set to "
                f"{keras.config.image_data_format()}; call keras.config.set_image_data_format('channels_last')"
            )
        if pooling not in (None, *heads.POOLINGS):
            raise ValueError(f'{name}: pooling is None, "avg" or "max", not {pooling!r}')
        if include_top:
            positive(name, classes=classes)
        if auxiliary and not include_top:
            raise ValueError(
                f"{name}: auxiliary=True adds classifiers, so it goes with include_top=True alone"
            )
        image = self.image(name, input_tensor, input_shape)
        if include_top and not self.defaults["any_size"] and None in image.shape[1:3]:
            raise ValueError(
                f"{name}: its classifier reads a map of one size, so height and width are numbers, "
                f"not {tuple(image.shape[1:])}; include_top=False takes any"
            )
        path = None if weights is None else loading.located(weights, self.published(), name)
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
        return self.finished(inputs, x, path, name, portable)

    def top(self, name, x, pooling, classes, activation):
        """Returns the predictions from the feature map, by the family's head."""
        head = self.ends["head"]
        if not pooling:
            return head(x, classes, activation)
        if getattr(head, "func", head) is not heads.global_average_pooling:
            raise ValueError(
                f"{name}: its classifier does not pool, so pooling={pooling!r} goes with include_top=False alone"
            )
        return head(x, classes, activation, pooling=pooling)

    def image(self, name, input_tensor, input_shape):
        """Returns the Keras tensor that the body starts from, its shape checked."""
        shape = given_shape(name, input_tensor, input_shape, self.defaults["input_shape"])
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"{name}: input_shape is (height, width, channels), for example (224, 224, 3), not {shape}"
            )
        if any(side is not None and side < self.defaults["minimum"] for side in shape[:2]):
            raise ValueError(
                f"{name}: input_shape is {shape}, but height and width must be at least {self.defaults['minimum']}"
            )
        return keras.Input(shape, name="image") if input_tensor is None else input_tensor
