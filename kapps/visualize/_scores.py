"""The scores whose gradients attributions are: logits of classes, or a function of the output."""

import functools

import keras
import numpy as np
from keras import ops

from kapps.visualize import _layer_calls
from kapps.visualize._compiled import compiled_if_large, stored_result

PROBABILITIES = tuple(keras.activations.get(name) for name in ("softmax", "sigmoid", "log_softmax"))
"""Activations that make probabilities of logits."""


class Scores:
    """The scores of a model: a logit of each example, or a function of the model's output.

    The gradient of a probability differs from that of its logit, because the other classes take part in it.
    So the activation that makes probabilities is left out of the last layer.

    Args:
        model: the model.
        example: an input with one example.
        classes: of `scores`; a function is called with the model's own output.
        size: number of numbers in all inputs, from which follows whether functions are compiled.

    Raises:
        ValueError: if the output are probabilities whose logits are not found, or if it is not (batch, classes).
    """

    def __init__(self, model, example, classes=None, size=0):
        self.model, self.function, self.size = model, classes if callable(classes) else None, size
        self.last = self.count = None
        if not self.function:
            key = "last activation", *example.shape
            self.last, self.count = stored_result(
                model, key, lambda: _last_activation(model, example)
            )
        self._logits = self.compiled(("logits",), self.run)
        self.of = self.compiled(("scores",), self._of)
        """Function of inputs and classes that returns the scores, (batch,)."""

    def run(self, inputs, visit=_layer_calls.Call.proceed):
        """Returns the logits, or the model's output where the scores are a function of it."""
        return _layer_calls.run(self.model, inputs, functools.partial(self._visit, visit))

    def _visit(self, visit, call):
        if call.path != self.last:
            return visit(call)
        if isinstance(call.operation, (keras.layers.Softmax, keras.layers.Activation)):
            return call.args[0]
        activation, call.operation.activation = call.operation.activation, keras.activations.linear
        try:
            return visit(call)
        finally:
            call.operation.activation = activation

    def scores(self, outputs, classes):
        """Returns the score of each example, (batch,).

        Args:
            outputs: what `run` returned.
            classes: index of each example's class, (batch,); None where the scores are a function.
        """
        if self.function:
            return ops.cast(self.function(outputs), "float32")
        chosen = ops.one_hot(classes, outputs.shape[-1], dtype="float32")
        return ops.sum(ops.cast(outputs, "float32") * chosen, axis=-1)

    def _of(self, inputs, classes):
        return self.scores(self.run(inputs), classes)

    def compiled(self, key, function):
        """Returns a function of arrays: images and, where the scores are no function, classes.

        Args:
            key: a tuple that stands for the function among those of the model's scores.
            function: of tensors, which returns tensors.
        """
        key = None if self.function else ("scores", *key)
        run = compiled_if_large(self.model, key, function, self.size)

        def with_arrays(images, *classes):
            classes = [None if x is None else ops.convert_to_tensor(x, "int32") for x in classes]
            return run(ops.convert_to_tensor(images), *classes)

        return with_arrays

    def classes(self, inputs, classes=None):
        """Returns the index of each example's class as an array: those given, or those with the largest logits.

        Raises:
            ValueError: for a class that the model does not have.
        """
        if self.function:
            return None
        if classes is None:
            return ops.convert_to_numpy(self._logits(inputs)).argmax(axis=-1)
        result = np.asarray(classes)
        if result.min() < 0 or result.max() >= self.count:
            raise ValueError(
                f"classes={result.tolist()}: {self.model.name} has the classes 0 to {self.count - 1}"
            )
        return result


def _last_activation(model, example):
    """Returns the path of the layer that makes probabilities, None where the outputs are logits; and their number."""
    ended = []

    def visit(call):
        outputs = call.proceed()
        if hasattr(outputs, "shape"):
            ended.append((call.path, call.operation, outputs))
        return outputs

    output = _layer_calls.run(model, example, visit)
    if not hasattr(output, "shape") or len(output.shape) != 2:
        raise ValueError(
            f"{model.name} does not return (batch, classes); pass a function of its output as classes"
        )
    for path, operation, value in ended:
        if value is not output:
            continue
        is_softmax = isinstance(operation, keras.layers.Softmax)
        if is_softmax or getattr(operation, "activation", None) in PROBABILITIES:
            return path, output.shape[-1]
        break
    values = ops.convert_to_numpy(output)
    is_distribution = values.shape[-1] > 1 and np.allclose(values.sum(axis=-1), 1, atol=1e-3)
    if is_distribution and values.min() >= 0:
        raise ValueError(
            f"{model.name} returns probabilities, and its logits were not found; build it with activation=None"
        )
    return None, output.shape[-1]
