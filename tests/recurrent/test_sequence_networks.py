"""What the recurrent classifiers, labellers and translators share: padding, files, published sizes, training."""

import math

import keras
import numpy as np
import pytest
from small_networks import NETWORKS, array, build, pad, random_inputs

import kapps


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.long
def test_padding_changes_no_output_and_files_give_the_same(name, tmp_path):
    model = build(name)
    for steps in (3, 6):
        x = random_inputs(model, steps=steps)
        short, long = array(model(x)), array(model(pad(x, 3)))
        if short.ndim == 3:
            long = long[:, : short.shape[1]]
        np.testing.assert_allclose(long, short, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


def test_parameters_are_those_of_papers_and_printed_summaries():
    for builder in (
        kapps.pixel_lstm, kapps.framewise_rnn, kapps.framewise_brnn, kapps.framewise_lstm, kapps.framewise_blstm,
        kapps.digit_speller, kapps.ctc_timit, kapps.imdb_flat, kapps.imdb_mean,
    ):  # fmt: skip
        parameters = sum(math.prod(variable.shape) for variable in builder().trainable_variables)
        assert parameters == builder.card.params, builder.card.name
        if builder.card.paper == "Graves 2005":
            assert 0.985e5 < parameters < 1.03e5  # "roughly 100,000 weights"
    # The summary at keras.io: an embedding, two bidirectional layers, one output.
    assert kapps.imdb_blstm.card.params == 2_560_000 + 98_816 + 98_816 + 129
    # One LSTM with 784 inputs, 27 outputs.
    assert kapps.digit_speller.card.params == 4 * (784 + 128 + 1) * 128 + (128 + 1) * 27


TARGETS = {  # the loss, and the targets of inputs
    "ctc": ("ctc", lambda x: np.tile([[1, 2, 0]], (len(x), 1))),
    "translator": ("sparse_categorical_crossentropy", lambda x: x[0]),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.long
def test_training_lowers_the_loss(name):
    model = NETWORKS[name]()
    loss, make_targets = TARGETS[name]
    x = random_inputs(model, batch=16, steps=4)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    losses = [model.train_on_batch(x, make_targets(x)) for _ in range(20)]
    assert losses[-1] < 0.85 * losses[0]
