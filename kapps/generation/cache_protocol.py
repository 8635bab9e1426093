"""The protocol by which a causal layer decodes one step at a time.

A decoding step model (`kapps.generation.step_model`) processes one step of the target. The values of
earlier steps that a layer needs are its state: an input and an output of the step model. The step model reads each
layer's state through this protocol and has no list of layers. A layer implements it next to its `call`:

    class CausalAverage(keras.layers.Layer):
        decoding_position = False

        def call(self, x):  # the mean of each step and the one before it
            return (x + ops.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))) / 2

        def decoding_state(self, batch, length):
            return {"previous": keras.KerasTensor((batch, 1, self.width), self.compute_dtype)}

        def decoding_step(self, x, position, state):
            return (x + state["previous"]) / 2, {"previous": x}

**Pointwise layers**, whose output at a step depends on this step only, need none of this: they set `pointwise = True`.

**Causal layers** have two methods, `decoding_state` and `decoding_step`. States start from zeros. Where a mask hides
the step of x, the step model keeps the old state, so a layer does not handle masks. A state whose second axis has the
size `length` is a cache: its name is "keys", "values" or "cache", or ends in one of them after an underscore, and a
step writes only the entry at `position`.

**Layers that also read the encoder**, such as cross-attention, have a third method, `decoding_memory`, and the other
two methods get its result as a last argument: `decoding_state(batch, length, memory)` and
`decoding_step(x, position, state, memory)`.

Keras's own layers have adapters with these methods in `kapps.generation._keras_adapters`.
"""

from typing import Protocol

import keras

CACHES = ("keys", "values", "cache")
"""The names, or last parts of names, of states that have an entry for each step."""


class CausalLayer(Protocol):
    """The methods of a causal layer or its adapter."""

    decoding_position: bool = True
    """Whether `decoding_step` uses `position`; False makes the step model count steps only if another layer does."""
    decoding_limit: int | None = None
    """The largest number of steps that the layer decodes, and that its `call` reads; None for any number."""

    def decoding_state(self, batch: int | None, length: int | None) -> dict[str, keras.KerasTensor]:
        """Returns the shapes and dtypes of the layer's state: {name: `keras.KerasTensor` with the batch}.

        Args:
            batch: number of sequences; None if it is not fixed.
            length: number of steps for which a cache has entries; None if it is not fixed.
        """

    def decoding_step(self, x, position, state):
        """Returns the output (batch, 1, ...) of one step and the new state, a dictionary with the names of `state`.

        Args:
            x: the layer's first argument for one step, (batch, 1, ...), or a list if the argument is a list of tensors.
            position: int32 (batch, 1), the number of steps before this one that no mask hides.
            state: {name: tensor}, as `decoding_state` declares it.
        """


class MemoryLayer(CausalLayer, Protocol):
    """The methods of a causal layer that also reads the encoder; `memory` is the last argument of its other methods."""

    def decoding_memory(self, **arguments) -> dict:
        """Returns what every step reads, {name: tensor}; the encoder computes it once.

        Each step gets it as `memory`, with the masks of the arguments, bool, under the names that the layer's call
        gives them, for example "value_mask".

        Args:
            **arguments: the arguments of the layer's call that come from the encoder, by name, without masks.
        """

    def check_decoding(self, **arguments) -> None:
        """Raises ValueError if the layer cannot decode this call; optional, also for layers without a memory.

        Args:
            **arguments: the arguments of the layer's call that do not depend on the target, by name.
        """


def is_cache(name: str) -> bool:
    """Whether a state is a cache with one entry for each step, by its name in the layer or in the step model."""
    return name.rpartition("_")[2] in CACHES
