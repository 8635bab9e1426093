"""Arguments of `compile`: a classifier on its logits, losses of several outputs, combinations that fail.

Label smoothing is the data's (`kapps.data.train_dataset(label_smoothing=...)`), which mixes smoothed labels in MixUp
and CutMix as well. Keras's losses have an argument of that name: with both, labels are smoothed twice.
"""

import keras
import tensorflow as tf

from kapps._keras_compat import all_layers

_MIRRORED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


def compile_classifier(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a compiled model that shares all weights with `model` and ends in its logits.

    The loss takes the logits, which lose no precision in a softmax; `model` is the one to keep and export. Where
    there are none, for predictions that are a mean of votes, it takes the predictions. Labels are one-hot. With
    more than ten classes it tells the top five's accuracy too.

    Args:
        model: with a head by `kapps.heads`, softmax included.
        optimizer: to compile with.
    """
    last = model.get_layer("predictions")
    logits = isinstance(last, keras.layers.Activation)
    trained = keras.Model(model.input, last.input if logits else last.output, name=model.name)
    metrics = ["accuracy"]
    if model.output_shape[-1] > 10:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5"))
    trained.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=logits),
        metrics=metrics,
        jit_compile=False,
    )
    return trained


def auxiliary_losses(
    model: keras.Model,
    loss: keras.losses.Loss,
    *,
    main: str | None = None,
    weight: float = 0.3,
) -> dict[str, dict]:
    """Returns `loss` and `loss_weights` for `model.compile`: the main output counts 1, each other one `weight`.

    Args:
        model: one with several outputs.
        loss: what every output is compared with its target by.
        main: the name of the main output; None for the first of a list of outputs.
        weight: of each other output's loss. GoogLeNet has 0.3 (Szegedy 2014, arXiv:1409.4842, section 5),
            Inception-v3 0.4 in its authors' code.

    Raises:
        ValueError: for a model with one output, and a main output that there is none of.
    """
    names = _output_names(model)
    if len(names) < 2:
        raise ValueError(f"{model.name} has one output, {names[0]!r}: there is nothing auxiliary")
    if main is None and not isinstance(model.output, dict):
        main = names[0]
    if main not in names:
        raise ValueError(f"main={main!r} is no output of {model.name}: {', '.join(names)}")
    return {
        # Keras takes weights by name only beside losses by name.
        "loss": dict.fromkeys(names, loss),
        "loss_weights": {name: 1.0 if name == main else weight for name in names},
    }


def repeat_targets(dataset: tf.data.Dataset, model: keras.Model) -> tf.data.Dataset:
    """Returns batches of (inputs, {output: targets}), the same targets for every output of a model.

    Args:
        dataset: batches of (inputs, targets) or (inputs, targets, weights of the examples).
        model: one with several outputs.
    """
    names = _output_names(model)

    def repeat(x, y, *weights):
        return x, dict.fromkeys(names, y), *weights

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
    """Refuses, before anything is trained, what does not go together in `compile` and `fit`.

    Each was seen to fail, or to train to other weights than one device does, on Keras 3.15 and TensorFlow 2.21.

    Args:
        optimizer: as `compile` gets it.
        model: the one to train; only compiling with XLA asks for it.
        strategy: what the model is built under, None for one device.
        jit: whether `compile` gets `jit_compile=True`.
        steps_per_execution: as `compile` gets it, from 1.

    Raises:
        ValueError: of one line, with what was given and what to do.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    replicas = strategy.num_replicas_in_sync if strategy else 1
    # Keras decides with `cond` whether to update, and TensorFlow refuses to gather replicas, be it one, inside
    # of it: RuntimeError.
    if optimizer.gradient_accumulation_steps and (replicas > 1 or isinstance(strategy, _MIRRORED)):
        raise ValueError(
            f"accumulation={optimizer.gradient_accumulation_steps} does not work under a"
            f" {type(strategy).__name__}: take 1 and a larger batch, or the default strategy"
        )
    if replicas > 1:
        _check_replicas(optimizer, replicas, jit, steps_per_execution)
    if jit and model is not None:
        _check_jit(model)


def _check_replicas(optimizer, replicas, jit, steps_per_execution):
    on = f"on {replicas} replicas"
    # Keras clips what each replica has, a part of the gradient, before it adds the parts up. It trains, but with
    # other steps: up to `replicas` times as long as the limit.
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        limit = getattr(optimizer, name)
        if limit is not None:
            raise ValueError(
                f"{name}={limit} is applied to each replica's part of the gradient {on}, and cuts it elsewhere than"
                " on one device: train without it, or on one device"
            )
    # InvalidArgumentError: a placeholder of the loop is not fed.
    if steps_per_execution > 1:
        raise ValueError(f"steps_per_execution={steps_per_execution} does not work {on}: take 1")
    # InvalidArgumentError: XLA reaches no variable on another device (on CPUs; Keras's "auto" is off for all).
    if jit:
        raise ValueError(f"jit=True does not work {on}: take False, or one device")


def _check_jit(model):
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for layer in all_layers(model):
        # XLA has no cuDNN cell: InvalidArgumentError, "No registered 'CudnnRNNV3' OpKernel" (keras issue 18456).
        if gpu and getattr(layer, "use_cudnn", False):
            raise ValueError(
                f"jit=True does not work with {layer.name!r}, which runs in cuDNN: take False,"
                " or build the layer with use_cudnn=False"
            )
        # XLA compiles every time step by itself: minutes for an LSTM of 100 steps.
        if isinstance(layer, keras.layers.RNN) and layer.unroll:
            raise ValueError(
                f"jit=True takes minutes to compile {layer.name!r}, which is unrolled: take False,"
                " or build the layer with unroll=False"
            )
