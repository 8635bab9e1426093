"""What recurrent networks map: many steps to one answer, many to as many or to one a segment, one to many.

[1] Graves 2005, Framewise phoneme classification with bidirectional LSTM and other neural network architectures,
    Neural Networks 18: four networks of about 100,000 weights
[2] Le 2015, arXiv:1504.00941: images read pixel by pixel
[3] https://keras.io/examples/nlp/bidirectional_lstm_imdb
[4] Karpathy 2015, The unreasonable effectiveness of recurrent neural networks: one to many

Labels without a place are in kapps/recurrent/ctc.py, other sequences in kapps/recurrent/encoder_decoder.py.

Sequences of vectors are float32; where `masking` is set, steps whose values are all 0 are padding, on the right.
Departure from [1]: its networks are trained one sequence at a time, with random weights from -0.1 to 0.1.
"""

import keras

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers import SegmentMean
from kapps.recurrent import stacks


def padding(x, masking):
    """Returns a sequence of vectors whose steps of zeros are padding where `masking` is set."""
    return keras.layers.Masking(name="masking")(x) if masking else x


@sequence_family(shape=(None, 12), classes=9)
def sequence_classifier(
    x, *, units=100, layers=None, cell="lstm", merge=None, residual=None, pyramid=None, dropout=0.0, masking=True
):  # fmt: skip
    """Many to one: what recurrent layers have after the last real step; of two directions, after each one's last.

    Args:
        x: vectors.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.recurrent.stacks.stack`.
        masking: whether steps of zeros are padding; not where they are values, as in images.
    """
    return stacks.stack(
        padding(x, masking), units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid,
        dropout=dropout, return_sequences=False,
    )  # fmt: skip


@sequence_family(shape=(None,), vocabulary=20_000, classes=1, head=heads.logistic)
def text_classifier(
    x, *, vocabulary, embedding=128, units=128, layers=None, cell="lstm", merge=None, residual=None, pyramid=None,
    dropout=0.0,
):  # fmt: skip
    """Many to one, of tokens: an embedding, and what recurrent layers have after the last token.

    Args:
        x: tokens.
        vocabulary: how many there are, padding (0) among them.
        embedding: width of the embedding.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.recurrent.stacks.stack`.
    """
    x = keras.layers.Embedding(vocabulary, embedding, mask_zero=True, name="embedding")(x)
    return stacks.stack(
        x, units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid, dropout=dropout,
        return_sequences=False,
    )  # fmt: skip


@sequence_family(shape=(None, 26), classes=61)
def sequence_labeller(
    x, *, units=93, layers=None, cell="peephole", merge="concat", residual=None, dropout=0.0, segment=None, masking=True
):  # fmt: skip
    """Many to as many: an answer at every step; or, with `segment`, at every so many of them.

    Args:
        x: vectors.
        units, layers, cell, merge, residual, dropout: as for `kapps.recurrent.stacks.stack`.
        segment: steps of a segment that has one label, from the mean of what they have; None for each step its own.
        masking: whether steps of zeros are padding.
    """
    x = stacks.stack(
        padding(x, masking), units, layers=layers, cell=cell, merge=merge, residual=residual, dropout=dropout
    )  # fmt: skip
    return x if segment is None else SegmentMean(segment, name="segments")(x)


@sequence_family(shape=(1, 784), classes=27)
def sequence_generator(
    x, *, steps, units=128, layers=None, cell="lstm", residual=None, dropout=0.0
):
    """One to many: recurrent layers read the same vector at each of `steps` steps, and answer at each.

    What was answered is not read again: the layers' states alone tell the steps apart.

    Args:
        x: one vector, as a sequence of one step.
        steps: how many answers there are; shorter ones end in a label that says so.
        units, layers, cell, residual, dropout: as for `kapps.recurrent.stacks.stack`.
    """
    if x.shape[1] != 1:
        raise ValueError(
            f"a generator reads one vector, so input_shape is (1, features), not {tuple(x.shape[1:])}"
        )
    x = keras.layers.Reshape((x.shape[-1],), name="vector")(x)
    x = keras.layers.RepeatVector(steps, name="steps")(x)
    return stacks.stack(x, units, layers=layers, cell=cell, residual=residual, dropout=dropout)


GRAVES, LE, IMDB, ONE_TO_MANY = "Graves 2005", "arXiv:1504.00941", "keras.io 2020", "Karpathy 2015"
# fmt: off
#                                                                                                             the papers' or by their sizes
pixel_lstm = variant(sequence_classifier, "pixel_lstm", units=100, masking=False, shape=(784, 1), classes=10, paper=LE, params=41_810)

imdb_blstm = variant(text_classifier, "imdb_blstm", embedding=128, units=(64, 64), merge="concat", paper=IMDB, params=2_757_761)

framewise_rnn   = variant(sequence_labeller, "framewise_rnn", cell="rnn", units=275, merge=None, paper=GRAVES, params=99_886)
framewise_brnn  = variant(sequence_labeller, "framewise_brnn", cell="rnn", units=185, paper=GRAVES, params=101_071)
framewise_lstm  = variant(sequence_labeller, "framewise_lstm", cell="peephole", units=140, merge=None, paper=GRAVES, params=102_541)
framewise_blstm = variant(sequence_labeller, "framewise_blstm", cell="peephole", units=93, paper=GRAVES, params=101_245)

digit_speller = variant(sequence_generator, "digit_speller", steps=6, units=128, paper=ONE_TO_MANY, params=470_939)
# fmt: on
