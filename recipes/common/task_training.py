"""Trains networks on generated batches, and records the points of their curves."""

import math
import time

import keras

POINTS = 10
"""Number of points of a curve."""


def compile_model(model, loss, learning_rate, steps, clipnorm, metrics=None):
    """Compiles a model with Adam, whose learning rate falls from `learning_rate` to 0 along a cosine.

    Args:
        model: the model.
        loss: name of the Keras loss, or a list of names, one for each output.
        learning_rate: peak learning rate.
        steps: number of training steps of the cosine.
        clipnorm: largest norm of the gradient of all weights.
        metrics: of `Model.compile`.
    """
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=clipnorm)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    # TensorFlow would trace a step that builds the optimizer twice.
    optimizer.build(model.trainable_variables)


def train(run, model, make_batch, measure, steps, first=0):
    """Trains a compiled model. Prints a line for each point of the curve.

    Args:
        run: name of the run in the lines.
        model: the model.
        make_batch: function without arguments. Returns inputs, targets, and weights or None.
        measure: function of the results of the last training step. Returns {name: (number, text of the line)}, with
            the name "loss".
        steps: number of the last training step.
        first: number of training steps before these.

    Returns:
        A list of a step and a dictionary {name: number} for each point, and the seconds of the training steps.

    Raises:
        ValueError: if the loss is not finite.
    """
    points, seconds, step = [], 0.0, first
    count = min(POINTS, steps - first)
    for point in range(1, count + 1):
        start = time.monotonic()
        while step < first + (steps - first) * point // count:
            results = model.train_on_batch(*make_batch())
            step += 1
        seconds += time.monotonic() - start
        values = measure(results)
        text = ", ".join(text for _, text in values.values())
        print(f"{run}: step {step:,}, {text}", flush=True)
        loss = values["loss"][0]
        if not math.isfinite(loss):
            raise ValueError(f"{run}: the loss is {loss}; pass a smaller --learning_rate")
        points.append((step, {name: float(value) for name, (value, _) in values.items()}))
    return points, seconds


def measure_accuracy(model, examples, batch_size):
    """Returns the loss and the accuracy in percent on (inputs, targets), with their texts, for `train`."""
    loss, accuracy = model.evaluate(*examples, batch_size=batch_size, verbose=0)
    accuracy *= 100
    return {
        "loss": (loss, f"loss {loss:.3f}"),
        "accuracy": (accuracy, f"accuracy {accuracy:.1f} %"),
    }


def print_row(run, row):
    """Prints the line of a finished row of the table."""
    print(
        f"{run}: {row['result']:.4g} {row['measure']} (chance {row['chance']:.4g}), {row['detail']}, "
        f"{row['seconds']:.0f} seconds",
        flush=True,
    )
