"""Many to many that are not aligned: one network reads a sequence, another writes one from what the first knows last.

[1] Sutskever 2014, arXiv:1409.3215: LSTM, four layers, the source reversed; 384M parameters, of which 64M recurrent
[2] Cho 2014, arXiv:1406.1078: GRU, and what the encoder knows beside each word that the decoder reads

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing: it reads what was right
    model.fit([source, target], labels)
    found = kapps.translate(model, source, start=1, end=2)              # it reads what it wrote

Departures: [1] says nothing of biases, of which there are 32,000 in its layers and 80,000 in its logits; of [2] the
layers of two values' maximum before the words, and V, which its c goes through, are left out; neither has dropout.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import ConcatenateContext, ReverseSequence, recurrent_stack


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=80_000)
def encoder_decoder(
    x, *, vocabulary, source_vocabulary=None, embedding=1000, units=1000, layers=None, cell="lstm", reverse=False,
    context=False, dropout=0.0,
):  # fmt: skip
    """Logits of the next word of a target, at each word of it, given a source.

    Args:
        x: tokens of the source, and of the target before each word that is to be found.
        vocabulary: how many tokens the target has, padding (0) among them.
        source_vocabulary: how many the source has; None for as many.
        embedding: width of both embeddings.
        units, layers, cell, dropout: of the encoder and of the decoder, as for `kapps.layers.recurrent_stack.stack`.
        reverse: whether the source is read from its last word to its first [1].
        context: whether the decoder reads the encoder's last output beside each word, and starts from dense layers of
            it [2]; otherwise each of its layers starts from the last states of the encoder's layer [1].
    """
    source, target = x
    both = dict(layers=layers, cell=cell, dropout=dropout)
    if reverse:
        source = ReverseSequence(name="source_reversed")(source)
    tokens = vocabulary if source_vocabulary is None else source_vocabulary
    y = keras.layers.Embedding(tokens, embedding, mask_zero=True, name="encoder_embedding")(source)
    c, states = recurrent_stack.stack(
        y, units, **both, return_sequences=False, return_state=True, name="encoder"
    )
    y = keras.layers.Embedding(vocabulary, embedding, mask_zero=True, name="decoder_embedding")(
        target
    )
    if context:
        states = [
            [
                keras.layers.Dense(state.shape[-1], "tanh", name=f"decoder{i}_state{j}")(c)
                for j, state in enumerate(each)
            ]
            for i, each in enumerate(states, start=1)
        ]
        y = ConcatenateContext(name="decoder_context")([y, c])
    return recurrent_stack.stack(y, units, **both, initial_state=states, name="decoder")


SUTSKEVER, CHO = "arXiv:1409.3215", "arXiv:1406.1078"
# fmt: off
#                                                                                                                             by their sizes; [1] says 384M
sutskever2014 = variant(encoder_decoder, "sutskever2014", units=(1000,) * 4, source_vocabulary=160_000, reverse=True, paper=SUTSKEVER, params=384_112_000)
cho2014 = variant(encoder_decoder, "cho2014", embedding=100, cell="gru_old", context=True, vocabulary=15_000, paper=CHO, params=28_622_000)
# fmt: on
