"""The inputs of a model, by shape and dtype: an image, a sequence, frames, tokens; or several named inputs."""

import dataclasses
import re

import keras
import numpy as np
import tensorflow as tf

IMAGE, SEQUENCE, FRAMES, TOKENS = "image", "sequence", "frames", "tokens"
TEXT = "text"
"""The name of text in a signature, as an input and as an output."""
STATE = re.compile(r"state\d+")
"""The name of the features that a stage of a network with several exits takes, also if it takes no others."""
FLOAT_KINDS = {2: SEQUENCE, 3: IMAGE, 4: FRAMES}
"""The name of a float32 input by its rank without the batch."""
ALLOWED = (
    "images [batch, height, width, channels], frames [batch, time, height, width, channels], sequences "
    "[batch, time, features] or integer tokens [batch, time] or [batch, sentences, words]"
)


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """The only input of a model, or one of several.

    Args:
        name: "image", "sequence", "frames" or "tokens"; for one of several inputs, the input's own name. Signatures
            have this name.
        shape: without the batch; None for a variable size.
        dtype: "float32", or "int32" for tokens.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def spec(self, batch_size: int | None) -> tf.TensorSpec:
        """Returns the specification that a network is traced with."""
        return tf.TensorSpec((batch_size, *self.shape), self.dtype, name=self.name)

    def keras_input(self) -> keras.KerasTensor:
        """Returns the Keras input that a model is built on."""
        return keras.Input(self.shape, dtype=self.dtype, name=self.name)

    def with_size(self, size: int | None) -> "ModelInput":
        """Returns the same input with `size` for every variable size."""
        shape = tuple(size if axis is None else axis for axis in self.shape)
        return dataclasses.replace(self, shape=shape)

    def example(self) -> np.ndarray:
        """Returns a batch of one: ones for tokens, else noise in [0, 1).

        The values are small because large ones saturate a softmax.
        """
        shape = (1, *self.with_size(224 if self.name == IMAGE else 16).shape)
        if self.dtype == "int32":  # 0 may be padding, and a vocabulary may have only these two
            return np.ones(shape, "int32")
        return np.random.default_rng(0).uniform(0, 1, shape).astype("float32")

    def accepts(self, values: np.ndarray) -> bool:
        """Whether an array [n, ...] has this input's shape and kind of dtype."""
        kinds = "iu" if self.dtype == "int32" else "fiu"
        return (
            isinstance(values, np.ndarray)
            and values.ndim == 1 + len(self.shape)
            and len(values) > 0
            and values.dtype.kind in kinds
            and all(
                size in (None, axis)
                for size, axis in zip(self.shape, values.shape[1:], strict=True)
            )
        )

    def cast(self, values: np.ndarray) -> np.ndarray:
        """Returns the array in this input's dtype."""
        return values.astype(self.dtype, copy=False)

    def __str__(self) -> str:
        """Returns for example "image [n, 224, 224, 3]"."""
        return f"{self.name} [{', '.join(str(size) for size in ('n', *self.shape))}]"


@dataclasses.dataclass(frozen=True)
class ModelInputs:
    """Several inputs of a model; every value is a dictionary by the inputs' names.

    Args:
        parts: the inputs.
    """

    parts: tuple[ModelInput, ...]

    @property
    def name(self) -> str:
        """The names of the inputs, for a message."""
        return " and ".join(part.name for part in self.parts)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the first input with a variable size, else of the first input."""
        shapes = [part.shape for part in self.parts]
        return next((shape for shape in shapes if None in shape), shapes[0])

    def spec(self, batch_size: int | None) -> dict[str, tf.TensorSpec]:
        """Returns the specifications that a network is traced with."""
        return {part.name: part.spec(batch_size) for part in self.parts}

    def keras_input(self) -> dict[str, keras.KerasTensor]:
        """Returns the Keras inputs that a model is built on."""
        return {part.name: part.keras_input() for part in self.parts}

    def with_size(self, size: int | None) -> "ModelInputs":
        """Returns the same inputs with `size` for every variable size."""
        return ModelInputs(tuple(part.with_size(size) for part in self.parts))

    def example(self) -> dict[str, np.ndarray]:
        """Returns a batch of one."""
        return {part.name: part.example() for part in self.parts}

    def accepts(self, values) -> bool:
        """Whether a dictionary of arrays [n, ...] has the inputs' names, shapes and kinds of dtype."""
        return (
            isinstance(values, dict)
            and set(values) == {part.name for part in self.parts}
            and all(part.accepts(values[part.name]) for part in self.parts)
            and len({len(array) for array in values.values()}) == 1
        )

    def cast(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the arrays in the inputs' dtypes."""
        return {part.name: part.cast(values[part.name]) for part in self.parts}

    def __str__(self) -> str:
        """Returns all inputs, for a message."""
        return f"a dictionary of {', '.join(map(str, self.parts))}"


def model_input(model: keras.Model) -> ModelInput | ModelInputs:
    """Returns the input or inputs of a model.

    Raises:
        ValueError: if the only input is of none of these kinds, or several inputs have no names of their own.
    """
    inputs = model.inputs if getattr(model, "built", False) and hasattr(model, "inputs") else None
    if not inputs:
        raise ValueError(f"{model.name} has no input of known shape; build it from keras.Input")
    if len(inputs) > 1 or STATE.fullmatch(inputs[0].name):
        return _named_inputs(model)
    shape = tuple(inputs[0].shape)[1:]
    if _is_integer(inputs[0]) and (len(shape) == 1 or (len(shape) == 2 and shape[-1] is not None)):
        return ModelInput(TOKENS, shape, "int32")
    if not _is_integer(inputs[0]) and len(shape) in FLOAT_KINDS and shape[-1] is not None:
        return ModelInput(FLOAT_KINDS[len(shape)], shape, "float32")
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    raise ValueError(
        f"{model.name} takes {dtype} {(None, *shape)}; a model that can be exported takes {ALLOWED}, or several "
        "named inputs"
    )


def _named_inputs(model):
    inputs = model.input
    if not isinstance(inputs, dict):
        inputs = {x.name: x for x in model.inputs}
    tensors = list(inputs.values())
    if len(tensors) != len(model.inputs) or not all(map(keras.utils.is_keras_tensor, tensors)):
        raise ValueError(
            f"{model.name} takes {len(model.inputs)} inputs that have no names of their own; give each "
            "keras.Input a name, or build the model from a dictionary of inputs"
        )
    return ModelInputs(
        tuple(
            ModelInput(name, tuple(x.shape[1:]), "int32" if _is_integer(x) else "float32")
            for name, x in inputs.items()
        )
    )


def _is_integer(tensor):
    return keras.backend.standardize_dtype(tensor.dtype).startswith(("int", "uint"))


def slice_rows(values, start: int, stop: int):
    """Returns rows `start` to `stop` of an array, or of each array in a dictionary."""
    return keras.tree.map_structure(lambda array: array[start:stop], values)


def count_rows(values) -> int:
    """Returns the number of rows of an array, or of each array in a dictionary."""
    return len(keras.tree.flatten(values)[0])
