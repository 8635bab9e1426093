"""What every builder has: a body, the row that binds its options, and the signature of Keras Applications."""

import inspect

import keras

from kapps.cards import nearest
from kapps.layers import to_keras_layers
from kapps.weights import loading

COMMON = """
        name: of the model.
        portable: use Keras's own layers only, so that a saved model loads where kapps is not installed."""

RAISES = """
    Raises:
        ValueError: for an argument that is not allowed, with what is.
        TypeError: for an argument that does not exist, with the nearest that does.
"""


class Builder:
    """A body, the row that binds its options, what the signature's defaults are, and the heads."""

    def __init__(self, body, name, row, card, defaults, ends):
        self.body, self.row, self.card = body, row, card
        self.name = name or self.family
        self.defaults, self.ends = defaults, ends

    @property
    def family(self):
        """The family's name: that of its file, in which it is called `body`."""
        name = self.body.__name__
        return self.body.__module__.rpartition(".")[2] if name == "body" else name

    def options(self):
        """Returns the parameters of the body that a row or a caller may set, by name."""
        return dict(list(inspect.signature(self.body).parameters.items())[1:])

    def function(self):
        """Returns the builder as a plain function with a signature, a docstring and, for a row, a card."""
        free = {} if self.card else self.options()

        def function(*args, **kwargs):
            unknown_options(f"{self.name}()", kwargs, function.__signature__.parameters)
            bound = function.__signature__.bind(*args, **kwargs)
            bound.apply_defaults()
            options = {key: bound.arguments.pop(key) for key in free}
            return self.build({**self.row, **options}, **bound.arguments)

        function.__signature__ = self.signature(free.values())
        function.__name__ = function.__qualname__ = self.name
        function.__module__ = self.body.__module__
        function.__doc__ = self.document()
        function.builder, function.card = self, self.card
        return function

    def signature(self, options):
        keyword, either = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter(key, either, default=value) for key, value in self.common().items()
        ]
        return inspect.Signature(
            [*parameters, *(option.replace(kind=keyword) for option in options)]
        )

    def common(self):
        """Returns the arguments that every member of every family has, with their defaults."""
        return {
            "include_top": True,
            "weights": None,
            "input_tensor": None,
            "input_shape": None,
            "pooling": None,
            "classes": self.defaults["classes"],
            "classifier_activation": "softmax",
            "name": self.name,
            "portable": False,
        }

    def document(self):
        if self.card:
            row = ", ".join(
                f"{key}={getattr(value, '__name__', value)}" for key, value in self.row.items()
            )
            head = (
                f"{self.name}: {self.card.paper}; {row}.\n\n"
                f"    {self.card.params:,} trainable parameters{self.at()}.\n"
            )
        else:
            head = f"Any member of the family.\n\n    {inspect.cleandoc(self.body.__doc__ or '')}\n"
        return head + self.arguments() + RAISES

    def published(self):
        """Returns the name by which weights are published."""
        return self.card.name if self.card else self.family

    def finished(self, inputs, x, path, name, portable):
        """Returns the model, with the weights of a file."""
        model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, x, name=name)
        if portable:
            model = to_keras_layers(model)
        if path is not None:
            family, classes = self.family, self.defaults["classes"]
            loading.load(model, path, self.published(), family, classes)
        return model


def given_shape(name, tensor, shape, default):
    """Returns the shape without the batch of an input: of the tensor, as asked for, or the family's own."""
    if tensor is None:
        return tuple(default if shape is None else shape)
    if not keras.utils.is_keras_tensor(tensor):
        raise ValueError(
            f"{name}: input_tensor is a Keras tensor such as keras.Input returns, not {tensor!r}"
        )
    found = tuple(tensor.shape[1:])
    if shape is not None and tuple(shape) != found:
        raise ValueError(f"{name}: input_tensor is {found}, input_shape {tuple(shape)}; give one")
    return found


def positive(name, **values):
    """Raises ValueError in one line where a number is none from 1."""
    for key, value in values.items():
        if not (isinstance(value, int) and value > 0):
            raise ValueError(f"{name}: {key} is a positive whole number, not {value!r}")


def unknown_options(what, given, allowed):
    """Raises TypeError in one line where `given` names something that is not in `allowed`."""
    for key in given:
        if key not in allowed:
            raise TypeError(
                f"{what} takes no {key!r}.{nearest(key, allowed)} Allowed: {', '.join(allowed)}"
            )
