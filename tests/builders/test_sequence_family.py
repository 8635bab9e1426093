"""Family functions and builders of networks on sequences."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps.builders import sequence_family, variant


@sequence_family(shape=(None,), vocabulary=9)
def body(x, *, vocabulary, units=4):
    """A network on tokens, with an output at every step."""
    x = layers.Embedding(vocabulary, 3, mask_zero=True, name="embedding")(x)
    return layers.LSTM(units, return_sequences=True, name="layer1")(x)


reader = body


small = variant(reader, "small", units=2, paper="arXiv:1409.2329", params=9 * 3 + 48 + 27)
wider = variant(
    reader, "wider", units=2, paper="arXiv:1409.2329", params=20 * 3 + 48 + 60, vocabulary=20
)


@sequence_family(shape=(None, 5), classes=3)
def body(x, *, units=4):
    """A network on vectors, with one output."""
    return layers.GRU(units, name="layer1")(x)


listener = body


@sequence_family(shape=(None,), vocabulary=9, inputs=("source", "target"))
def body(x, *, vocabulary):
    """A network on two sequences of tokens."""
    embedding = layers.Embedding(vocabulary, 3, name="embedding")
    source, target = (embedding(tokens) for tokens in x)
    mean = layers.GlobalAveragePooling1D(keepdims=True, name="mean")(source)
    return layers.Add(name="sum")([target, mean])


translator = body


@sequence_family(shape=(4, 8, 8, 1), head=None)
def body(x, *, filters=2):
    """A network from frames to frames."""
    return layers.Conv3D(filters, 3, padding="same", name="layer1")(x)


forecaster = body


def test_sizes_of_rows():
    for builder, vocabulary in ((small, 9), (wider, 20)):
        model = builder()
        assert model.count_params() == builder.card.params
        assert builder.card.vocabulary == vocabulary and builder.card.kind == "tokens"
        assert model.input.name == "tokens" and model.input.dtype == "int32"
        assert model.output_shape == (None, None, vocabulary) and model.output.dtype == "float32"
        assert (
            f"{builder.card.params:,} trainable parameters at {vocabulary} tokens"
            in builder.__doc__
        )
    assert small(vocabulary=5).output_shape == (None, None, 5)
    assert small(vocabulary=5, classes=2).output_shape == (None, None, 2)
    assert reader(units=7, include_top=False).output_shape == (None, None, 7)


def test_vectors_several_inputs_and_frames():
    assert listener().input.name == "sequence" and listener().output_shape == (None, 3)
    both = translator()
    assert [x.name for x in both.inputs] == ["source", "target"]
    frames = forecaster(input_shape=(None, 6, 6, 2))
    assert frames.input.name == "frames" and frames.output_shape == (None, None, 6, 6, 2)
    assert "classes" not in forecaster.__signature__.parameters
    assert "classes" not in forecaster.__doc__ and "frames" not in listener.__doc__


def test_pooling_ignores_padding():
    model = small(include_top=False, pooling="avg")
    short, padded = np.array([[3, 4]]), np.array([[3, 4, 0, 0]])
    np.testing.assert_allclose(model(short), model(padded), rtol=1e-5)


def test_input_tensor():
    tokens = keras.Input((6,), dtype="int32", name="numbers")
    model = small(input_tensor=tokens)
    assert [x.name for x in model.inputs] == ["numbers"] and model.output_shape[1] == 6
    pair = [keras.Input((3,), dtype="int32"), keras.Input((4,), dtype="int32")]
    assert translator(input_tensor=pair).output_shape == (None, 4, 9)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_of_cells_in_layers(tmp_path, suffix):
    model, path = small(), tmp_path / f"model{suffix}"
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    tokens = np.array([[1, 2, 8]])
    loaded = small(weights=path)
    assert loaded is not model
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    with pytest.raises(ValueError) as caught:
        wider(weights=path)
    assert str(caught.value).startswith("wider: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "builder, options, parts",
    [
        (small, {"vocabulary": 0}, ("small", "vocabulary=0")),
        (small, {"classes": -1}, ("small", "classes=-1")),
        (small, {"input_shape": (3, 3)}, ("small", "(3, 3)", "(steps,)", "(None,)")),
        (small, {"pooling": "max"}, ("small", "pooling='max'", '"avg"')),
        (small, {"pooling": "avg"}, ("small", "pooling='avg'", "include_top=False")),
        (small, {"weights": "imagenet"}, ("small", "weights")),
        (listener, {"include_top": False, "pooling": "avg"}, ("test_sequence_family", "pooling='avg'", "steps")),
        (listener, {"input_shape": (4, None)}, ("test_sequence_family", "(4, None)", "(steps, features)")),
        (translator, {"input_tensor": 3}, ("test_sequence_family", "input_tensor=3", "source and target")),
        (listener, {"input_tensor": 3}, ("test_sequence_family", "input_tensor=3", "Keras tensor")),
        (forecaster, {"classes": 3}, ("test_sequence_family()", "'classes'")),
        (small, {"units": 3}, ("small()", "'units'")),
    ],
)  # fmt: skip
def test_errors_name_the_argument_and_what_is_allowed(builder, options, parts):
    with pytest.raises((ValueError, TypeError)) as caught:
        builder(**options)
    message = str(caught.value)
    assert "\n" not in message and all(part in message for part in parts)
