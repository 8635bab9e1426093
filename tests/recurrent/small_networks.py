"""Small recurrent networks that several test files build, with inputs for them."""

import keras
import numpy as np

from kapps import families

FEATURES, CLASSES = 3, 4
SMALL = dict(input_shape=(None, FEATURES), classes=CLASSES)
TEXT = dict(vocabulary=9, embedding=3)
NETWORKS = {
    "sequence classifier": lambda: families.sequence_classifier(units=5, merge="sum", **SMALL),
    "pyramid": lambda: families.sequence_classifier(units=4, layers=2, pyramid=2, **SMALL),
    "text classifier": lambda: families.text_classifier(units=(4, 4), merge="concat", **TEXT),
    "labeller": lambda: families.sequence_labeller(units=4, **SMALL),
    "segments": lambda: families.sequence_labeller(units=4, cell="gru", segment=2, **SMALL),
    "ctc": lambda: families.ctc(units=4, classifier_activation=None, **SMALL),
    "translator": lambda: families.encoder_decoder(units=4, layers=2, reverse=True, **TEXT),
    "translator with context": lambda: families.encoder_decoder(
        units=4, layers=2, context=True, source_vocabulary=11, **TEXT
    ),
    "bag of words": lambda: families.embedding_classifier(
        units=(5,), words="mean", input_shape=(None,), **TEXT
    ),
}


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(name):
    """A network with random weights large enough that its outputs differ."""
    model = NETWORKS[name]()
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.6, variable.shape))
    return model


def random_inputs(model, batch=2, steps=6):
    """Values for each input of a model, without padding."""
    random = np.random.default_rng(1)
    values = [
        random.integers(1, 9, (batch, steps)).astype("int32")
        if len(x.shape) == 2
        else random.normal(size=(batch, steps, x.shape[-1])).astype("float32")
        for x in model.inputs
    ]
    return values if len(values) > 1 else values[0]


def pad(x, steps):
    """The inputs with `steps` steps of padding."""
    if isinstance(x, list):
        return [pad(tokens, steps) for tokens in x]
    return np.pad(x, [(0, 0), (0, steps), (0, 0)][: x.ndim])
