"""Pointer network: an encoder-decoder whose output at each step is a distribution over its own inputs.

[1] Vinyals 2015, Pointer Networks, arXiv:1506.03134

    source = [[P_1, ..., P_n] ...]; target = [[0, *answer] ...]; labels = [[*answer, 0] ...]     # teacher forcing
    model.fit([source, target], labels)
    answer = kapps.generation.point(model, source)

Index j >= 1 is input P_j. Index 0 is the start symbol of the target and the end symbol of the labels.

Departures from the paper:
- [1] does not print sizes other than 256 and 512 units. The start symbol has as many trained values as an input, the end
  symbol as many as an encoder's state.
- Inputs of zeros are padding, so that a batch has sets of different sizes; `masking=False` reads them.
"""

from functools import partial

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import PointedInputs, PointerScores
from kapps.layers.recurrent_stack import mask_zero_steps, recurrent


def pointer(d, classes, activation, *, e):
    """p(C_i | C_1 .. C_{i-1}, P) = softmax(u^i), u^i_j = v^T tanh(W_1 e_j + W_2 d_i) [1, section 2.3].

    Args:
        d: the decoder's state of each step, (batch, m, units).
        classes: not used: there are n + 1 indices.
        activation: activation after the scores u; None for the scores.
        e: the encoder's state of each input, (batch, n, units).
    """
    del classes
    u = PointerScores(dtype="float32", name="head_logits")(d, e)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(u)


@sequence_family(inputs=("source", "target"), shape=(None, 2), target_shape=(None,))
def body(x, *, units=512, masking=True):
    """Predicts the next index into a set or sequence of vectors at each step, given the indices before it [1].

    Args:
        x: (source, target): the inputs, float32 (batch, n, width), and the indices, int32 (batch, m), whose first is 0.
        units: width of the encoder, of the decoder and of the scores.
        masking: whether inputs of zeros are padding.
    """
    source, target = x
    p = mask_zero_steps(source, masking)
    e, states = recurrent(p, units, return_state=True, name="encoder1")
    y = PointedInputs(name="decoder_inputs")(target, source)
    d = recurrent(y, units, initial_state=states, name="decoder1")
    return d, partial(pointer, e=e)


# fmt: off
#                                                                                  computed from the sizes
pointer_network = variant(body, "pointer_network", paper="arXiv:1506.03134", params=2_634_754)
# fmt: on
