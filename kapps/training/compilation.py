"""Arguments of `compile`: a classifier's logits, losses of several outputs, combinations that fail.

Label smoothing belongs to the dataset (`kapps.data.train_dataset(label_smoothing=...)`), which also smooths the mixed
labels of MixUp and CutMix. Keras's losses have an argument of that name; with both, labels are smoothed twice.
"""

import keras
import tensorflow as tf

from kapps._checked import checked
from kapps._keras_compat import all_layers, producer
from kapps.layers import DropPath
from kapps.model_record import exit_outputs, layer_at
from kapps.training.losses import JointCrossentropy

_MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


@checked
def compile_classifier(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a compiled model that shares all weights with `model` and returns its logits.

    The loss is computed from logits, which lose no precision in a softmax; `model` is the one to save and export.
    If the model has no logits, because its predictions are a mean of probabilities, the loss is computed from the
    predictions. Labels are one-hot. With more than ten classes the metrics include the top-5 accuracy.

    The compiled model of a network with several exits returns the logits of all exits, (batch, exits, classes). Its
    loss is their `kapps.training.JointCrossentropy`; "accuracy" is that of the last exit, "exit1_accuracy" that of the
    first.

    Args:
        model: classifier with a head of `kapps.heads`, softmax included.
        optimizer: optimizer to compile with.

    Raises:
        ValueError: if the model has no layer "predictions".
    """
    last = layer_at(model, "predictions")
    if last is None:
        raise ValueError(
            f"{model.name} has no layer 'predictions', as the heads of kapps.heads have"
        )
    exits = exit_outputs(getattr(model, "output_names", ()))
    if exits:
        return _compile_exits(model, [model.outputs[i] for i in exits], optimizer)
    logits = isinstance(last, keras.layers.Activation)
    trained = keras.Model(model.input, last.input if logits else last.output, name=model.name)
    metrics = [keras.metrics.CategoricalAccuracy("accuracy")]
    if last.output.shape[-1] > 10:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5"))
    trained.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=logits),
        metrics=metrics,
        jit_compile=False,
    )
    # If the first step made variables, of the optimizer or of metrics that are names, it would be traced twice.
    trained.optimizer.build(trained.trainable_variables)
    return trained


def _compile_exits(model, predictions, optimizer):
    """Returns a compiled model of the logits of several exits; each prediction is the output of an activation."""
    logits = [producer(x).input for x in predictions]
    trained = keras.Model(model.input, keras.ops.stack(logits, axis=1), name=model.name)
    exits, last = len(logits), keras.metrics.categorical_accuracy
    metrics = [
        keras.metrics.MeanMetricWrapper(
            _of_exit, name=f"exit{i + 1}_accuracy", metric=last, index=i
        )
        for i in range(exits - 1)
    ]
    measures = {"accuracy": last}
    if logits[0].shape[-1] > 10:
        measures["top5"] = keras.metrics.top_k_categorical_accuracy
    metrics += [
        keras.metrics.MeanMetricWrapper(_of_exit, name=name, metric=measure, index=exits - 1)
        for name, measure in measures.items()
    ]
    trained.compile(
        optimizer=optimizer, loss=JointCrossentropy(), metrics=metrics, jit_compile=False
    )
    trained.optimizer.build(trained.trainable_variables)  # or the first step is traced twice
    return trained


def _of_exit(y_true, y_pred, *, metric, index):
    """Returns a metric of one exit's scores, for each image."""
    return metric(y_true, y_pred[:, index])


@checked
def schedule_drop_path(model: keras.Model, steps: int) -> None:
    """Sets that the rates of drop path rise linearly from 0 in the first `steps` training steps.

    This is the scheduled drop path of networks of cells: NASNet, DARTS, SNAS, ENAS. A layer with `steps` of its own
    keeps them. Call it before `fit`, with the number of steps of the whole training.

    Args:
        model: model to train; one without `kapps.layers.DropPath` is not changed.
        steps: number of training steps, 1 or more.

    Raises:
        ValueError: if `steps` is not a positive integer.
    """
    for layer in all_layers(model):
        if isinstance(layer, DropPath) and layer.steps is None:
            layer.steps = steps


def auxiliary_losses(
    model: keras.Model,
    loss: keras.losses.Loss,
    *,
    main: str | None = None,
    weight: float = 0.3,
) -> dict[str, dict]:
    """Returns `loss` and `loss_weights` for `model.compile`: weight 1 for the main output, `weight` for the others.

    Args:
        model: model with several outputs.
        loss: loss of every output.
        main: name of the main output; `None` for the first output of a list.
        weight: weight of the loss of each other output. GoogLeNet has 0.3 (Szegedy 2014, arXiv:1409.4842,
            section 5), Inception-v3 0.4 in its authors' code.

    Raises:
        ValueError: for a model with one output, and if `main` is not one of the outputs.
    """
    names = _output_names(model)
    if len(names) < 2:
        raise ValueError(f"{model.name} has only one output, {names[0]!r}: no output is auxiliary")
    if main is None and not isinstance(model.output, dict):
        main = names[0]
    if main not in names:
        raise ValueError(
            f"main={main!r} is not an output of {model.name}; its outputs: {', '.join(names)}"
        )
    return {
        # Keras accepts weights by name only together with losses by name.
        "loss": dict.fromkeys(names, loss),
        "loss_weights": {name: 1.0 if name == main else weight for name in names},
    }


@checked
def repeat_targets(dataset: tf.data.Dataset, model: keras.Model) -> tf.data.Dataset:
    """Returns a dataset of (inputs, {output: targets}), with the same targets for every output of a model.

    Args:
        dataset: batches of (inputs, targets) or (inputs, targets, sample weights).
        model: model with several outputs.
    """
    names = _output_names(model)

    def repeat(x, y, *sample_weight):
        return x, dict.fromkeys(names, y), *sample_weight

    return dataset.map(repeat, num_parallel_calls=tf.data.AUTOTUNE)


def _output_names(model):
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    return list(model.output) if isinstance(model.output, dict) else list(model.output_names)


def check_compile_options(
    optimizer: keras.optimizers.Optimizer,
    *,
    model: keras.Model | None = None,
    strategy: tf.distribute.Strategy | None = None,
    jit: bool = False,
    steps_per_execution: int = 1,
) -> None:
    """Raises ValueError for options of `compile` and `fit` that do not work together, before any training.

    On Keras 3.15 and TensorFlow 2.21, each of these combinations fails or trains to other weights than one device.

    Args:
        optimizer: optimizer of `compile`.
        model: model to train; only needed with `jit`.
        strategy: strategy that the model is built under; `None` for one device.
        jit: whether `jit_compile=True` is passed to `compile`.
        steps_per_execution: argument of `compile`, 1 or more.

    Raises:
        ValueError: one line with the option, its value and what to change.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    replicas = strategy.num_replicas_in_sync if strategy else 1
    # Keras decides with `cond` whether to update, and TensorFlow cannot gather replicas, not even one, inside a
    # `cond`: RuntimeError.
    if optimizer.gradient_accumulation_steps and (replicas > 1 or isinstance(strategy, _MIRRORED)):
        raise ValueError(
            f"accumulation={optimizer.gradient_accumulation_steps} does not work under a"
            f" {type(strategy).__name__}: use 1 and a larger batch, or the default strategy"
        )
    if replicas > 1:
        _check_replicas(optimizer, replicas, jit, steps_per_execution)
    if jit and model is not None:
        _check_jit(model)


def _check_replicas(optimizer, replicas, jit, steps_per_execution):
    on = f"on {replicas} replicas"
    # Keras clips the gradient of each replica, a part of the whole, before it sums the parts. The steps differ from
    # those of one device: they are up to `replicas` times as long as the limit.
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        limit = getattr(optimizer, name)
        if limit is not None:
            raise ValueError(
                f"{name}={limit} clips each replica's part of the gradient {on}, which differs from clipping on one"
                " device: train without it, or on one device"
            )
    # InvalidArgumentError: a placeholder of the loop is not fed.
    if steps_per_execution > 1:
        raise ValueError(f"steps_per_execution={steps_per_execution} does not work {on}: use 1")
    # InvalidArgumentError: XLA cannot read variables of another device (on CPUs; Keras's "auto" is off for all).
    if jit:
        raise ValueError(f"jit=True does not work {on}: use False, or one device")


def _check_jit(model):
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for layer in all_layers(model):
        # XLA has no cuDNN cell: InvalidArgumentError, "No registered 'CudnnRNNV3' OpKernel" (keras issue 18456).
        if gpu and getattr(layer, "use_cudnn", False):
            raise ValueError(
                f"jit=True does not work with {layer.name!r}, which runs in cuDNN: use False,"
                " or build the layer with use_cudnn=False"
            )
        # XLA compiles every time step separately: minutes for an LSTM of 100 steps.
        if isinstance(layer, keras.layers.RNN) and layer.unroll:
            raise ValueError(
                f"jit=True takes minutes to compile {layer.name!r}, which is unrolled: use False,"
                " or build the layer with unroll=False"
            )
