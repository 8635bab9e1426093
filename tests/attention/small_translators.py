"""Small translators with attention, and the equations that their tests share."""

import re

import keras
import numpy as np

from kapps import families

VOCABULARY, UNITS = 11, 4
SMALL = dict(vocabulary=VOCABULARY, embedding=3, units=UNITS, classifier_activation=None)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 6)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = SOURCE[1, 5:] = 0
KINDS = {
    "bahdanau": (families.bahdanau, dict(readout=2)),
    "bahdanau, LSTM": (families.bahdanau, dict(readout=2, cell="lstm", attention_units=3)),
    "luong": (families.luong, dict(layers=2, width=2, dropout=0.0)),
    "britz": (families.britz, dict(encoder_layers=2, decoder_layers=2, dropout=0.0)),
    "luong without input feeding": (
        families.luong, dict(layers=1, window="global", score="concat", input_feeding=False, dropout=0.0)
    ),
    "monotonic": (
        families.luong, dict(layers=1, cell="gru", window="local_m", width=1, score="scaled", reverse=False,
        dropout=0.0)
    ),
    "hard": (families.luong, dict(layers=1, window="hard", dropout=0.0)),
}  # fmt: skip


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs), training=False))


def build(kind, **options):
    """A small model of random weights large enough that its outputs differ."""
    family, family_options = KINDS[kind]
    model = family(**{**SMALL, **family_options, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(random.normal(0, 0.8, variable.shape))
    return model


def weights_by_name(model):
    """The weights in float64: of layers by their paths, of the decoder's parts by their positions.

    Keras numbers the cells of a process; the numbers are left out.
    """
    weights = {
        re.sub(r"cell_\d+/", "cell/", v.path): array(v).astype("float64") for v in model.weights
    }
    cell = model.get_layer("decoder").cell
    parts = {f"cell{i}": part for i, part in enumerate(cell.cells)}
    for name, part in {**parts, "attention": cell.attention}.items():
        weights.update({f"{name}/{v.name}": array(v).astype("float64") for v in part.weights})
    return weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()
