"""What an exported model takes, by the shape and type of its input: a picture, frames, a sequence, tokens."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

IMAGE, FRAMES, SEQUENCE, TOKENS = "image", "frames", "sequence", "tokens"
ALLOWED = (
    "pictures [batch, height, width, channels], frames [batch, time, height, width, channels], sequences "
    "[batch, time, features] or whole-numbered tokens [batch, time]"
)


@dataclasses.dataclass(frozen=True)
class Taken:
    """One input.

    Args:
        name: "image", "frames", "sequence" or "tokens"; what the exported signatures call it.
        shape: without the batch; None where a size is open.
        dtype: "float32", or "int32" for tokens.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def spec(self, batch: int | None) -> tf.TensorSpec:
        """Returns what a network is traced with."""
        return tf.TensorSpec((batch, *self.shape), self.dtype, name=self.name)

    def closed(self, open_size: int) -> "Taken":
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
            if self.name == TOKENS
            else draw.uniform(0, 1, shape).astype("float32")
        )

    def fits(self, values: np.ndarray) -> bool:
        """Whether an array [n, ...] is what is taken."""
        kinds = "iu" if self.name == TOKENS else "fiu"
        return (
            values.ndim == 1 + len(self.shape)
            and len(values) > 0
            and values.dtype.kind in kinds
            and all(
                size in (None, given)
                for size, given in zip(self.shape, values.shape[1:], strict=True)
            )
        )


def taken(model: keras.Model) -> Taken:
    """Returns what a model takes.

    Raises:
        ValueError: in one line, where it takes anything but one input of those kinds.
    """
    inputs = model.inputs if getattr(model, "built", False) and hasattr(model, "inputs") else None
    if not inputs:
        raise ValueError(f"{model.name} has no input of known shape; build it from keras.Input")
    shapes = [tuple(x.shape) for x in inputs]
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    if len(shapes) == 1 and (len(shapes[0]) == 2) == dtype.startswith(("int", "uint")):
        rest = shapes[0][1:]
        if len(rest) == 1:
            return Taken(TOKENS, rest, "int32")
        if len(rest) in (2, 3, 4) and rest[-1] is not None:
            return Taken({2: SEQUENCE, 3: IMAGE, 4: FRAMES}[len(rest)], rest, "float32")
    raise ValueError(
        f"{model.name} takes {dtype} {', '.join(map(str, shapes))}; what can be exported takes one input: {ALLOWED}"
    )
