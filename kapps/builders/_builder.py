"""The base class of builders: a body, the options of one row of its table, and the signature of Keras Applications."""

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import keras

from kapps._errors import main_sentence
from kapps._keras_compat import give_values, without_values
from kapps._names import nearest
from kapps._values import check_model_name, short
from kapps.builders._builder_arguments import Argument, check_names
from kapps.builders._options import check_options
from kapps.builders._prefix import source_inputs, with_prefix
from kapps.builders._weight_limit import limit_weights
from kapps.cards import Card
from kapps.layers import to_keras_layers
from kapps.weights import loading

RAISES = """
    Raises:
        ValueError: if an argument has a value that is not allowed.
        TypeError: if there is no argument of that name.
"""


class Builder:
    """Builds models of a body: as a family function with any options, or with the options of one row of the table.

    Args:
        body: `body(x, *, options)`, graph code from the input's Keras tensors to features.
        name: the row's name; None for the family function.
        row: {option: value} of the row.
        card: the row's card; None for the family function.
        defaults: fields of the card that the family or the row sets, and defaults of the arguments.
        heads: {"head": function, ...}, from features to predictions.
    """

    def __init__(
        self,
        body: Callable,
        name: str | None,
        row: dict[str, Any],
        card: Card | None,
        defaults: dict[str, Any],
        heads: dict[str, Callable | None],
    ):
        if body.__name__ != "body":
            raise ValueError(
                f"{body.__module__}: the function {body.__name__!r} must be called 'body'"
            )
        self.body, self.row, self.card = body, row, card
        self.name = name or self.family
        self.defaults, self.heads = defaults, heads
        self.examples = {}
        """{option: values that it takes}, of the family function: its default and those of the table."""
        for option in self.options().values():
            if option.default is not option.empty:
                self.examples[option.name] = [option.default]

    @property
    def family(self) -> str:
        """The family's name: the stem of its file."""
        return self.body.__module__.rpartition(".")[2]

    def options(self) -> dict[str, inspect.Parameter]:
        """Returns the parameters of the body that a row or a caller may set, by name."""
        return dict(list(inspect.signature(self.body).parameters.items())[1:])

    def arguments(self) -> list[Argument]:
        """Returns the arguments that all members of the family have."""
        raise NotImplementedError

    def returns(self) -> str:
        """Returns the text on inputs and outputs for the docstring."""
        raise NotImplementedError

    def sizes(self) -> str:
        """Returns the sizes that the number of parameters depends on, for the docstring."""
        raise NotImplementedError

    def build(self, options: dict[str, Any], **arguments) -> keras.Model:
        """Returns the model for values of the body's options and of the builder's arguments."""
        raise NotImplementedError

    def function(self) -> Callable[..., keras.Model]:
        """Returns the builder as a function with a signature, a docstring and, for a row, a card."""
        free = {} if self.card else self.options()

        def function(*args, **kwargs):
            check_names(f"{self.name}()", kwargs, function.__signature__.parameters)
            try:
                bound = function.__signature__.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}(): {error}") from None
            bound.apply_defaults()
            options = {key: bound.arguments.pop(key) for key in free}
            arguments = bound.arguments
            check_model_name(arguments["name"])
            self.check_arguments(**arguments)
            check_options(arguments["name"], options, self.examples)
            with limit_weights(arguments["name"]), self.explain_errors(arguments["name"], options):
                return self.build({**self.row, **options}, **arguments)

        function.__signature__ = self.signature(free.values())
        function.__name__ = function.__qualname__ = self.name
        function.__module__ = self.body.__module__
        function.__doc__ = self.docstring()
        function.builder, function.card = self, self.card
        return function

    def check_arguments(self, name, **arguments) -> None:
        """Raises ValueError for an argument whose value has another kind than its default."""
        for argument in self.arguments():
            value = arguments.get(argument.name)
            if isinstance(argument.default, bool) and not isinstance(value, bool):
                raise ValueError(f"{name}: {argument.name}={short(value)} is not True or False")
        activation = arguments.get("classifier_activation")
        try:
            keras.activations.get(activation)
        except (ValueError, TypeError) as error:
            names = [key for key in dir(keras.activations) if not key.startswith("_")]
            raise ValueError(
                f"{name}: classifier_activation={short(activation)} is not the name of an activation of Keras, a "
                f"function or None.{nearest(str(activation), names)}"
            ) from error

    @contextlib.contextmanager
    def explain_errors(self, name: str, options: dict[str, Any]):
        """Raises errors of Keras about a body's options as one line of ValueError."""
        try:
            yield
        except (MemoryError, OSError):
            raise
        except Exception as error:
            text = str(error)
            if (
                isinstance(error, ValueError)
                and "\n" not in text
                and text.startswith((name, self.weights_name()))
            ):
                raise
            values = ", ".join(
                f"{key}={short(value, 40)}"
                for key, value in options.items()
                if value is not self.options()[key].default
            )
            place = f"{name}({values})" if values else name
            raise ValueError(f"{place} cannot be built: {main_sentence(str(error))}") from error

    def signature(self, options: Iterable[inspect.Parameter]) -> inspect.Signature:
        """Returns the signature: the common arguments, then the body's options by keyword."""
        keyword, either = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        common = [
            inspect.Parameter(a.name, either, default=a.default, annotation=a.type)
            for a in self.arguments()
        ]
        return inspect.Signature(
            [*common, *(option.replace(kind=keyword) for option in options)],
            return_annotation="keras.Model",
        )

    def summary(self) -> str:
        """Returns the first lines of the docstring."""
        if not self.card:
            return f"Builds any member of the family {self.family}."
        row = ", ".join(
            f"{key}={textwrap.shorten(str(getattr(value, '__name__', value)), 100, placeholder=' ...')}"
            for key, value in self.row.items()
        )
        return (
            f"{self.name}: {self.card.paper}; {row or 'no options'}.\n\n"
            f"    {self.card.params:,} trainable parameters{self.sizes()}."
        )

    def docstring(self) -> str:
        body = inspect.cleandoc(self.body.__doc__ or "").replace("\n", "\n    ")
        body = "" if self.card or not body else f"\n    {body}\n"
        arguments = "".join(f"\n        {a.name}: {a.description}" for a in self.arguments())
        return (
            f"{self.summary()}\n{body}\n    Args:{arguments}\n\n    Returns:\n        {self.returns()}\n"
            + RAISES
        )

    def weights_name(self) -> str:
        """Returns the name by which pretrained weights are published."""
        return self.card.name if self.card else self.family

    def graph_scope(self, path, portable: bool):
        """Returns a context for the graph of a model; it yields the variables that have no values after it.

        If weights are loaded, random values would be computed for nothing, which takes most of the time of building.
        """
        if path is None or portable:
            return contextlib.nullcontext(())
        return without_values()

    def finish(
        self, tensors, inputs, outputs, path, name: str, portable: bool, allow_nan: bool = False,
        options: dict[str, Any] | None = None, exit_number: int | None = None, waiting: Iterable = (),
    ) -> keras.Model:  # fmt: skip
        """Returns the model, with the weights of a file if `path` is not None.

        Args:
            tensors: the Keras tensors that the caller or the builder made.
            inputs: those that the outputs were computed from; new ones for a network with prefixed names.
            outputs: Keras tensors.
            path: of a weights file, or None.
            name: of the model. If it is not the builder's, the names of all layers begin with it.
            portable: whether to use Keras's own layers only.
            allow_nan: whether the weights may be NaN or infinite.
            options: of the body, without those that have their default.
            exit_number: of the exit that the model ends at, if it is a part of a network with several exits. The file
                may hold the whole network.
            waiting: variables without values, which those that the file does not hold get from their initializers.
        """
        if name == self.name:
            inputs = source_inputs(inputs)
        # On PyTorch a model collects the values of its variables when it is made, unless they have none there.
        with without_values() if waiting else contextlib.nullcontext():
            model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=name)
        if portable:
            model = to_keras_layers(model)
        if path is not None:
            classes = self.defaults["classes"]
            defaults = {key: option.default for key, option in self.options().items()}
            loading.load(
                model, path, self.weights_name(), self.family, classes,
                options={**defaults, **(options or {})}, allow_nan=allow_nan, exit_number=exit_number,
            )  # fmt: skip
            give_values(waiting)
        if name == self.name:
            return model
        outputs = with_prefix(model, f"{name}_", tensors, copy=path is not None)
        inputs = source_inputs(tensors)
        return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=name)
