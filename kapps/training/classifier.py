"""A classifier as it is trained: on its logits."""

import keras


def on_logits(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
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
