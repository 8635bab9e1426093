"""The layers of step models and encoders. They hold the layers of the whole model, and so share their weights."""

import keras
from keras import layers, ops

from kapps._keras_compat import first_mask
from kapps.generation._keras_adapters import find_decoding
from kapps.generation.cache_protocol import is_cache


class Holder(layers.Layer):
    """A layer around another layer, whose weights it has.

    Args:
        held: the layer, built.
    """

    def __init__(self, held, **kwargs):
        super().__init__(**kwargs)
        self.held = held
        self.supports_masking = True

    def build(self, input_shape):
        del input_shape
        self.built = True

    def get_config(self):
        return {**super().get_config(), "held": keras.saving.serialize_keras_object(self.held)}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("held")), **config)


@keras.saving.register_keras_serializable("kapps")
class DecodingStep(Holder):
    """One decoding step of a layer, by the cache protocol.

    Input: x (batch, 1, ...), or a list of such tensors, and what the layer uses of: position, int32 (batch, 1); its
    state, {name: tensor}; and what the encoder computed for it, {name: tensor}, masks as int32. Output: the layer's
    output (batch, 1, ...), and with a state a tuple of the output and the new state, {name: tensor}. Where the mask of
    x hides the step, the state stays the same.
    """

    def call(self, x, position=None, state=None, memory=None, mask=None, x_mask=None):
        decoding = find_decoding(self.held)
        arguments = [x, position, state or {}]
        if hasattr(decoding, "decoding_memory"):
            memory = memory or {}
            arguments.append({n: m > 0 if n.endswith("_mask") else m for n, m in memory.items()})
        output, new_state = decoding.decoding_step(*arguments)
        x_mask = first_mask(mask if x_mask is None else x_mask)
        if x_mask is not None:
            # A cache needs no mask: a hidden step does not advance the position, and the next step writes the same
            # entry.
            new_state = {
                name: new if is_cache(name) else keep_hidden(x_mask, new, state[name])
                for name, new in new_state.items()
            }
        return (output, new_state) if new_state else output

    def compute_mask(self, x, mask=None):
        del x
        return [first_mask(mask)]  # of the output; the states have none


def keep_hidden(mask, new, old):
    """Returns the new state of the sequences whose step the mask (batch, 1) shows, and the old one of the others."""
    return ops.where(ops.reshape(mask, (-1, *[1] * (len(new.shape) - 1))), new, old)


@keras.saving.register_keras_serializable("kapps")
class DecodingMemory(Holder):
    """What every decoding step of a layer reads of the encoder, by the cache protocol.

    Input: {argument of the layer's call: tensor}. Output: {name: tensor}, as the layer's `decoding_memory` returns it.
    """

    def call(self, inputs):
        return find_decoding(self.held).decoding_memory(**inputs)

    def compute_mask(self, inputs, mask=None):
        del inputs, mask


@keras.saving.register_keras_serializable("kapps")
class StepCounter(layers.Layer):
    """Counts steps.

    Input: [the number of steps before, int32 (batch, 1); any tensor of this step, (batch, 1, ...)]. Output: int32
    (batch, 1), one more where the mask of the second input does not hide the step.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        count, _ = inputs
        step_mask = None if mask is None else mask[1]
        return count + (1 if step_mask is None else ops.cast(step_mask, "int32"))

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_spec(self, inputs, mask=None):
        del mask
        return keras.KerasTensor(inputs[0].shape, "int32")


@keras.saving.register_keras_serializable("kapps")
class MaskToInt(layers.Layer):
    """Converts a mask, bool (batch, time), to int32, which every file format has."""

    def call(self, inputs):
        return ops.cast(inputs, "int32")

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, "int32")
