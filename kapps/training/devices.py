"""What a training runs on, and in which precision."""

import keras
import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("default", "mirrored")


def precision(name: str) -> str:
    """Sets Keras's global dtype policy and returns its name.

    Args:
        name: one of `PRECISIONS`. "auto" takes mixed_bfloat16 on GPUs of compute capability 8 and up,
            mixed_float16 on those of 7, float32 elsewhere: older GPUs and CPUs gain nothing.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {name!r}")
    if name == "auto":
        name = {8: "mixed_bfloat16", 7: "mixed_float16"}.get(min(_capability(), 8), "float32")
    keras.config.set_dtype_policy(name)
    return name


def _capability():
    gpus = tf.config.list_physical_devices("GPU")
    found = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0,))
        for gpu in gpus
    ]
    return min((major for major, *_ in found), default=0)


def strategy(name: str) -> tf.distribute.Strategy:
    """Returns the strategy to build and fit under: "default" (one device) or "mirrored" (all of this machine)."""
    if name not in STRATEGIES:
        raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, not {name!r}")
    return tf.distribute.MirroredStrategy() if name == "mirrored" else tf.distribute.get_strategy()


def synchronize_batch_norm(model: keras.Model, on: bool) -> None:
    """Makes every batch norm take its statistics over all replicas, or over its own as it was.

    Without it each replica keeps moving statistics of its own, and only the first one's are saved. It is a
    matter of the training, so switch it off before the model is saved.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = on
