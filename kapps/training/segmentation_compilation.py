"""Compiles networks that score every pixel."""

from collections.abc import Sequence

import keras

from kapps._checked import checked
from kapps.model_record import layer_at
from kapps.training.losses import SegmentationCrossentropy
from kapps.training.segmentation_losses import SegmentationJaccard
from kapps.training.segmentation_metrics import MeanIoU, PixelAccuracy


@checked
def compile_segmenter(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    class_weights: Sequence[float] | None = None,
    jaccard: float = 0.0,
) -> keras.Model:
    """Returns a compiled model that shares all weights with `model` and returns its logits.

    The loss, `kapps.training.SegmentationCrossentropy`, is computed from logits, which lose no precision in a softmax;
    `model` is the one to save and export. Metrics are "pixel_accuracy" and "mean_iou". Labels are integers (batch,
    height, width), those of `kapps.data.segmentation`.

    Args:
        model: network from images to scores of the same size, (batch, height, width, classes), with a layer
            "predictions".
        optimizer: optimizer to compile with.
        class_weights: of the classes in the cross-entropy; None for 1 each.
        jaccard: weight of the soft Jaccard loss, which `kapps.training.SegmentationJaccard` adds to the cross-entropy;
            0 for just the cross-entropy.

    Raises:
        ValueError: if the model has no layer "predictions", or its output is not scores of each pixel of 2 to 254
            classes.
    """
    last = layer_at(model, "predictions")
    if last is None:
        raise ValueError(
            f"{model.name} has no layer 'predictions', as the networks of kapps.segmentation have"
        )
    shape = tuple(last.output.shape)
    if len(shape) != 4 or shape[1:3] != tuple(model.input.shape)[1:3] or not 2 <= shape[-1] <= 254:
        raise ValueError(
            f"{model.name} gives {shape} for images {tuple(model.input.shape)}: scores of 2 to 254 classes for each"
            " pixel are (batch, height, width, classes)"
        )
    is_activation = isinstance(last, keras.layers.Activation)
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    output = last.input if is_activation else last.output
    trained = keras.Model(model.input, output, name=model.name)
    classes = int(shape[-1])
    from_logits = is_activation or activation.lower() != "softmax"
    if jaccard:
        loss = SegmentationJaccard(classes, class_weights, from_logits, jaccard)
    else:
        loss = SegmentationCrossentropy(classes, class_weights, from_logits)
    trained.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[PixelAccuracy(classes), MeanIoU(classes)],
        jit_compile=False,
    )
    trained.optimizer.build(trained.trainable_variables)  # or the first step is traced twice
    return trained
