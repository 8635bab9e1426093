"""Encoder-decoder networks without attention: the encoder's last states are all that the decoder has of the source.

[1] Sutskever 2014, arXiv:1409.3215: LSTM, four layers, the source reversed; 384M parameters, 64M of them recurrent
[2] Cho 2014, arXiv:1406.1078: GRU, and the encoder's last output as an input of each decoder step

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

Departures from the papers:
- [1] does not mention biases; here its layers have 32,000 and its logits 80,000.
- The maxout layer of [2] before the logits is left out, and so is V, the matrix that its c goes through.
- `dropout` is an option; neither paper has it.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import ConcatenateContext, ReverseSequence
from kapps.layers.recurrent_stack import stack
from kapps.layers.token_embedding import embed_tokens


def states_from_context(c, states):
    """The decoder's first states: tanh(V' c) for each state of each layer [2]."""
    return [
        [
            keras.layers.Dense(state.shape[-1], "tanh", name=f"decoder{i}_state{j}")(c)
            for j, state in enumerate(states_of_layer)
        ]
        for i, states_of_layer in enumerate(states, start=1)
    ]


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=80_000)
def body(
    x, *, vocabulary, source_vocabulary=None, embedding=1000, units=1000, layers=None, cell="lstm", reverse=False,
    context=False, dropout=0.0,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence.

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of target tokens, padding (0) included.
        source_vocabulary: number of source tokens; None for as many as the target has.
        embedding: width of both embeddings.
        units, layers, cell, dropout: of the encoder and of the decoder, as for `kapps.layers.recurrent_stack.stack`.
        reverse: whether the encoder reads the source from its last word to its first [1].
        context: whether the decoder reads the encoder's last output at each step, and starts from dense layers of it
            [2]; otherwise each of its layers starts from the last states of the same layer of the encoder [1].
    """
    source, target = x
    options = dict(layers=layers, cell=cell, dropout=dropout)
    if reverse:
        source = ReverseSequence(name="source_reversed")(source)
    x = embed_tokens(source, source_vocabulary or vocabulary, embedding, name="encoder_embedding")
    c, states = stack(
        x, units, **options, return_sequences=False, return_state=True, name="encoder"
    )
    y = embed_tokens(target, vocabulary, embedding, name="decoder_embedding")
    if context:
        states = states_from_context(c, states)
        y = ConcatenateContext(name="decoder_context")([y, c])
    return stack(y, units, **options, initial_state=states, name="decoder")


SUTSKEVER, CHO = "arXiv:1409.3215", "arXiv:1406.1078"
# fmt: off
#                                                                                             computed from the sizes; [1] says 384M
sutskever2014 = variant(body, "sutskever2014", units=(1000,) * 4, source_vocabulary=160_000, reverse=True,               paper=SUTSKEVER, params=384_112_000)
cho2014       = variant(body, "cho2014", embedding=100, cell="gru_old", context=True, vocabulary=15_000,                 paper=CHO,       params=28_622_000)
# fmt: on
