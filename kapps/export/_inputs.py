"""What an exported model takes, by the shape and type of its input: an image, a sequence, tokens; or several."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

IMAGE, SEQUENCE, FRAMES, TOKENS = "image", "sequence", "frames", "tokens"
KINDS = {2: SEQUENCE, 3: IMAGE, 4: FRAMES}
"""Of what is float32, by the length of its shape without the batch."""
ALLOWED = (
    "images [batch, height, width, channels], frames [batch, time, height, width, channels], sequences "
    "[batch, time, features] or whole-numbered tokens [batch, time]"
)


@dataclasses.dataclass(frozen=True)
class Taken:
    """One input.

    Args:
        name: "image", "sequence", "frames" or "tokens", of several the input's own; what the signatures call it.
        shape: without the batch; None where a size is open.
        dtype: "float32", or "int32" for tokens.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def spec(self, batch: int | None) -> tf.TensorSpec:
        """Returns what a network is traced with."""
        return tf.TensorSpec((batch, *self.shape), self.dtype, name=self.name)

    def input(self) -> keras.KerasTensor:
        """Returns what a model is built on."""
        return keras.Input(self.shape, dtype=self.dtype, name=self.name)

    def closed(self, open_size: int | None) -> "Taken":
        """Returns the same with a number for every open size."""
        shape = tuple(open_size if size is None else size for size in self.shape)
        return dataclasses.replace(self, shape=shape)

    def example(self) -> np.ndarray:
        """Returns noise of a batch of one, small values: large ones drive a softmax to zeros and ones."""
        shape = (1, *self.closed(224 if self.name == IMAGE else 16).shape)
        draw = np.random.default_rng(0)
        # Zeros may be padding, and what lies beyond 1 no vocabulary need have.
        return (
            np.ones(shape, "int32")
            if self.dtype == "int32"
            else draw.uniform(0, 1, shape).astype("float32")
        )

    def fits(self, values: np.ndarray) -> bool:
        """Whether an array [n, ...] is what is taken."""
        kinds = "iu" if self.dtype == "int32" else "fiu"
        return (
            isinstance(values, np.ndarray)
            and values.ndim == 1 + len(self.shape)
            and len(values) > 0
            and values.dtype.kind in kinds
            and all(
                size in (None, given)
                for size, given in zip(self.shape, values.shape[1:], strict=True)
            )
        )

    def typed(self, values: np.ndarray) -> np.ndarray:
        """Returns an array of what is taken's type."""
        return values.astype(self.dtype, copy=False)

    def __str__(self) -> str:
        """Returns for example "image [n, 224, 224, 3]"."""
        return f"{self.name} [{', '.join(str(size) for size in ('n', *self.shape))}]"


@dataclasses.dataclass(frozen=True)
class Several:
    """Inputs beside each other, by their names; everything that is of one is here a dictionary.

    Args:
        parts: the inputs.
    """

    parts: tuple[Taken, ...]

    @property
    def name(self) -> str:
        """What is taken, in words."""
        return " and ".join(part.name for part in self.parts)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the first part with an open size, else of the first."""
        shapes = [part.shape for part in self.parts]
        return next((shape for shape in shapes if None in shape), shapes[0])

    def spec(self, batch: int | None) -> dict[str, tf.TensorSpec]:
        """Returns what a network is traced with."""
        return {part.name: part.spec(batch) for part in self.parts}

    def input(self) -> dict[str, keras.KerasTensor]:
        """Returns what a model is built on."""
        return {part.name: part.input() for part in self.parts}

    def closed(self, open_size: int | None) -> "Several":
        """Returns the same with a number for every open size."""
        return Several(tuple(part.closed(open_size) for part in self.parts))

    def example(self) -> dict[str, np.ndarray]:
        """Returns noise of a batch of one."""
        return {part.name: part.example() for part in self.parts}

    def fits(self, values) -> bool:
        """Whether a dictionary of arrays [n, ...] is what is taken."""
        return (
            isinstance(values, dict)
            and set(values) == {part.name for part in self.parts}
            and all(part.fits(values[part.name]) for part in self.parts)
            and len({len(array) for array in values.values()}) == 1
        )

    def typed(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns arrays of what is taken's types."""
        return {part.name: part.typed(values[part.name]) for part in self.parts}

    def __str__(self) -> str:
        """Returns all of them, for a message."""
        return f"a dictionary of {', '.join(map(str, self.parts))}"


def taken(model: keras.Model) -> Taken | Several:
    """Returns what a model takes.

    Raises:
        ValueError: in one line, where it takes one input of none of those kinds, or several without names of their own.
    """
    inputs = model.inputs if getattr(model, "built", False) and hasattr(model, "inputs") else None
    if not inputs:
        raise ValueError(f"{model.name} has no input of known shape; build it from keras.Input")
    if len(inputs) > 1:
        return _several(model)
    shape, dtype = tuple(inputs[0].shape), keras.backend.standardize_dtype(inputs[0].dtype)
    rest, whole = shape[1:], dtype.startswith(("int", "uint"))
    if whole and len(rest) == 1:
        return Taken(TOKENS, rest, "int32")
    if not whole and len(rest) in KINDS and rest[-1] is not None:
        return Taken(KINDS[len(rest)], rest, "float32")
    raise ValueError(
        f"{model.name} takes {dtype} {shape}; what can be exported takes {ALLOWED}, or several inputs by name"
    )


def _several(model):
    given = model.input
    if not isinstance(given, dict):
        given = {x.name: x for x in model.inputs}
    flat = list(given.values())
    if len(flat) != len(model.inputs) or not all(keras.utils.is_keras_tensor(x) for x in flat):
        raise ValueError(
            f"{model.name} takes {len(model.inputs)} inputs that have no names of their own; give each "
            "keras.Input a name, or build the model from a dictionary of them"
        )
    whole = [keras.backend.standardize_dtype(x.dtype).startswith(("int", "uint")) for x in flat]
    return Several(
        tuple(
            Taken(name, tuple(x.shape[1:]), "int32" if integers else "float32")
            for (name, x), integers in zip(given.items(), whole, strict=True)
        )
    )


def sliced(values, start: int, stop: int):
    """Returns rows `start` to `stop` of an array, or of each array of a dictionary."""
    return keras.tree.map_structure(lambda array: array[start:stop], values)


def rows(values) -> int:
    """Returns how many rows an array, or each array of a dictionary, has."""
    return len(keras.tree.flatten(values)[0])
