"""Losses, metrics, optimizers and schedules are registered under "kapps" and restored from their configuration."""

import inspect

import keras
import pytest

from kapps.training import (
    losses,
    metrics,
    optimizers,
    schedules,
    segmentation_losses,
    segmentation_metrics,
)

INSTANCES = [
    losses.ExitCrossentropy(),
    losses.JointCrossentropy(weights=(1.0, 0.5), from_logits=False),
    losses.SegmentationCrossentropy(2, (1.0, 0.5), from_logits=False),
    losses.SmoothedSparseCrossentropy(0.2, name="smoothed"),
    metrics.ExitPerplexity(),
    metrics.FrechetDistance(4, name="distance2"),
    metrics.Perplexity(from_logits=False, name="perplexity2"),
    optimizers.Lamb(0.3, weight_decay=0.1),
    segmentation_losses.SegmentationJaccard(2, (1.0, 0.5), False, 0.5),
    segmentation_metrics.MeanIoU(3),
    segmentation_metrics.PixelAccuracy(3, name="accuracy2"),
    schedules.WarmUp(keras.optimizers.schedules.CosineDecay(0.1, 100), 10),
    schedules.PerUpdate(keras.optimizers.schedules.CosineDecay(0.1, 100), 4),
    schedules.InverseSquareRoot(1e-3, 40),
]


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
def test_a_serialized_object_is_restored(instance):
    config = keras.saving.serialize_keras_object(instance)
    assert config["registered_name"] == f"kapps>{type(instance).__name__}"
    restored = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(restored) is type(instance)
    assert keras.saving.serialize_keras_object(restored) == config


def test_every_public_class_is_in_the_list():
    classes = {
        value
        for module in (
            losses,
            metrics,
            optimizers,
            schedules,
            segmentation_losses,
            segmentation_metrics,
        )
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert classes == {type(instance) for instance in INSTANCES}
