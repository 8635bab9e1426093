"""What training a translator needs beside `fit`: its learning rate, smoothed labels that are numbers, mean weights.

[1] Vaswani 2017, arXiv:1706.03762, sections 5.3, 5.4 and 6.1
[2] Ott 2019, fairseq, arXiv:1904.01038, whose `inverse_sqrt` is named by its peak
"""

import json
import pathlib
from collections.abc import Sequence

import keras
import numpy as np


@keras.saving.register_keras_serializable("kapps")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, and then falls with the square root of the updates [2].

    With n, from 1, the number of the update, and w the warm-up:

        rate = peak min(n / w, sqrt(w / n))

    Args:
        peak: the rate of update w.
        warmup: w, updates, 1 or more.
    """

    def __init__(self, peak, warmup):
        if peak <= 0 or warmup < 1:
            raise ValueError(
                f"peak={peak}, warmup={warmup}: the rate is above 0, the warm-up 1 update or more"
            )
        self.peak, self.warmup = peak, warmup

    def __call__(self, step):
        n = keras.ops.cast(step, "float32") + 1  # Keras counts from 0
        return self.peak * keras.ops.minimum(n / self.warmup, keras.ops.rsqrt(n) * self.warmup**0.5)

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup}


def transformer_rate(d_model: int, warmup: int = 4000, factor: float = 1.0) -> InverseSquareRoot:
    """Returns the learning rate of [1], equation (3): factor d_model^-0.5 min(n^-0.5, n warmup^-1.5).

    Args:
        d_model: width of the model.
        warmup: updates that the rate rises for.
        factor: 1 in the paper; its peak is factor (d_model warmup)^-0.5.
    """
    return InverseSquareRoot(factor * (d_model * warmup) ** -0.5, warmup)


@keras.saving.register_keras_serializable("kapps")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """Cross-entropy with smoothed labels that are given as numbers: no one-hot row of a vocabulary is made.

    With K classes, e the share of the target that is spread over all, z the logits and y the label's number:

        L = log sum_k exp z_k - (1 - e) z_y - e / K sum_k z_k

    which is `keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=e)` of one-hot labels.

    Args:
        label_smoothing: e, in [0, 1); 0.1 in [1].
        reduction: Keras's; by default the sum over tokens by the sum of their weights, so that padding counts nothing.
        name: Keras's.

    Call arguments: labels, int [batch, time], and logits, floats [batch, time, K], computed in float32.

    Raises:
        ValueError: for a share that is none.
    """

    def __init__(
        self, label_smoothing=0.1, reduction="mean_with_sample_weight", name="smoothed_crossentropy"
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: give 0 or more, and less than 1")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.cast(y_true, "int32")
        losses = keras.ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        own = keras.ops.take_along_axis(y_pred, labels[..., None], axis=-1)[..., 0]
        return losses + self.label_smoothing * (own - keras.ops.mean(y_pred, axis=-1))

    def get_config(self):
        return {
            "label_smoothing": self.label_smoothing,
            "reduction": self.reduction,
            "name": self.name,
        }


def average(model: keras.Model, checkpoints: Sequence[pathlib.Path]) -> None:
    """Gives a model the mean of its weights in several checkpoints, as [1], section 6.1, does with the last 5.

    What is no floating-point number, such as random seeds, is that of the last one.

    Args:
        model: whose checkpoints they are.
        checkpoints: files that `kapps.training.Checkpoints` wrote, such as its `epochs()`; the oldest first.

    Raises:
        ValueError: for no checkpoint, and for one of another model.
    """
    if not checkpoints:
        raise ValueError("there is no checkpoint to average")
    variables = model.variables
    sums = [0.0] * len(variables)
    for path in checkpoints:
        with np.load(path, allow_pickle=False) as file:
            count = json.loads(file["about"].tobytes())["variables"]
            # The model's come first, then the optimizer's.
            values = [file[f"v{i}"] for i in range(min(count, len(variables)))]
        if [value.shape for value in values] != [tuple(each.shape) for each in variables]:
            raise ValueError(f"{path} does not fit {model.name}")
        for i, value in enumerate(values):
            floats = value.dtype.kind == "f"
            sums[i] = sums[i] + value.astype("float64") if floats else value
    for variable, total in zip(variables, sums, strict=True):
        floats = total.dtype.kind == "f"
        variable.assign(total / len(checkpoints) if floats else total)
