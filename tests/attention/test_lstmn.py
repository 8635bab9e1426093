"""The long short-term memory-network as a language model: its parameters, decoding steps and files."""

import keras
import numpy as np
import pytest

import kapps
from kapps.generation import step_models

TOKENS = np.random.default_rng(0).integers(1, 9, (2, 7)).astype("int32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = dict(vocabulary=9, embedding=4, units=5, layers=2, tape=4)
    return kapps.families.lstmn(**{**sizes, **options})


def test_parameters_are_the_formula():
    """991,500 of the reader without biases of the attention."""
    d, vocabulary = 300, 10_000
    reader = 4 * d * (2 * d + 1) + 3 * d * d + d
    assert reader == 991_500
    assert kapps.card("lstmn_ptb").params == reader + vocabulary * d + (d + 1) * vocabulary


def test_steps_with_the_tape_equal_the_sequence():
    model = build()
    step = step_models.step_model(model)
    states, logits = step_models.initial_states(step, 2), []
    assert states["layer2_hidden_tape"].shape == (2, 4 * 5)
    for t in range(7):
        outputs = step({"tokens": TOKENS[:, t : t + 1], **states}, training=False)
        logits.append(array(outputs["logits"])[:, 0])
        states = {name: array(outputs[name]) for name in states}
    expected = array(keras.Model(model.input, model.get_layer("head_logits").output)(TOKENS))
    np.testing.assert_allclose(np.stack(logits, axis=1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_file_agrees_with_the_model(tmp_path):
    from kapps import export

    model = build(layers=1)
    path = export.tflite(model, tmp_path / "model.tflite", length=7)
    assert export.verify(model, path, TOKENS).failure() is None
