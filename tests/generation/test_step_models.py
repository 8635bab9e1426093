"""The encoder and the decoding step of translators against the whole models, and models without a step."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps import families
from kapps.generation import step_models

SOURCE = np.array([[3, 4, 5, 6], [7, 2, 0, 0], [1, 0, 0, 0]])
TARGET = np.array([[3, 4, 2, 5, 6], [5, 6, 7, 8, 0], [6, 7, 0, 0, 0]])
SIZES = dict(vocabulary=11, layers=2, d_model=8, ffn=16, heads=2)
TEXT = dict(vocabulary=11, source_vocabulary=9, embedding=5)

MODELS = {
    "Sutskever's": lambda: families.encoder_decoder(units=(6, 7), reverse=True, **TEXT),
    "Cho's": lambda: families.encoder_decoder(units=6, cell="gru", context=True, **TEXT),
    "transformer": lambda: families.transformer(**SIZES),
    "norm first": lambda: families.transformer(**SIZES, norm_first=True, tied=False, source_vocabulary=9),
    "Bahdanau's": lambda: families.bahdanau(units=6, readout=4, **TEXT),
    "Luong's": lambda: families.luong(units=6, layers=2, window="local_m", width=1, **TEXT),
    "without feeding": lambda: families.luong(units=6, layers=1, score="dot", window="global", input_feeding=False,
    **TEXT), "trained positions": lambda: families.transformer(**SIZES, positions=9),
}  # fmt: skip
QUICK = ("Cho's", "transformer", "Bahdanau's", "Luong's")


def array(x):
    return keras.ops.convert_to_numpy(x)


def large(model):
    """Scales the weights so that the probabilities differ."""
    for variable in model.trainable_variables:
        variable.assign(variable * (2 if "transformer" in model.name else 8))
    return model


def run(step, target, states):
    """Returns the logits of all steps, computed one step at a time."""
    (name,) = set(step.input) - set(states)
    logits = []
    for column in target.T:
        outputs = step.predict_on_batch({name: column[:, None], **states})
        states = {**states, **{key: array(outputs[key]) for key in step_models.state_names(step)}}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1)


@pytest.mark.parametrize(
    "kind", [x if x in QUICK else pytest.param(x, marks=pytest.mark.long) for x in MODELS]
)
def test_encoder_and_step_equal_the_whole_model(kind):
    keras.utils.set_random_seed(0)
    model = large(MODELS[kind]())
    encoder, step = step_models.encoder_and_step(model)
    memory = {name: array(x) for name, x in encoder.predict_on_batch({"source": SOURCE}).items()}
    result = run(step, TARGET, {**step_models.initial_states(step, 3, length=6), **memory})
    expected = array(model([SOURCE, TARGET]))
    probabilities = array(keras.ops.softmax(result))
    np.testing.assert_allclose(
        probabilities[TARGET > 0], expected[TARGET > 0], rtol=1e-5, atol=1e-5
    )
    assert expected.max() > 0.3, "the probabilities differ"
    assert {id(v) for part in (encoder, step) for v in part.variables} == {
        id(v) for v in model.variables
    }
    # Padding in a batch with longer sources does not change the result.
    single = encoder.predict_on_batch({"source": SOURCE[1:2, :2]})
    states = {
        **step_models.initial_states(step, 1, length=5),
        **{name: array(x) for name, x in single.items()},
    }
    np.testing.assert_allclose(
        run(step, TARGET[1:2], states)[0, :4], result[1, :4], rtol=1e-4, atol=1e-5
    )


def test_a_causal_transformer_decodes_step_by_step():
    keras.utils.set_random_seed(0)
    model = large(families.transformer_decoder(**SIZES))
    step = step_models.step_model(model)
    result = array(
        keras.ops.softmax(run(step, TARGET, step_models.initial_states(step, 3, length=5)))
    )
    np.testing.assert_allclose(
        result[TARGET > 0], array(model(TARGET))[TARGET > 0], rtol=1e-5, atol=1e-5
    )


def test_padding_leaves_the_state_unchanged():
    """Padding between the tokens of a prompt does not change the logits after it."""
    keras.utils.set_random_seed(0)
    step = step_models.step_model(large(families.transformer_decoder(**SIZES)))
    padded, whole = np.array([[3, 4, 0, 6, 7]]), np.array([[3, 4, 6, 7]])
    states = step_models.initial_states(step, 1, length=5)
    np.testing.assert_allclose(
        run(step, padded, states)[:, 3:], run(step, whole, states)[:, 2:], atol=1e-6
    )


def test_a_sliding_window():
    keras.utils.set_random_seed(0)
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4)(tokens)
    x = layers.MultiHeadAttention(1, 4, sliding_window=2)(x, x, use_causal_mask=True)
    model = keras.Model(tokens, layers.Dense(9, name="head_logits")(x))
    step, inputs = step_models.step_model(model), np.array([[3, 4, 2, 5, 6, 1]])
    result = run(step, inputs, step_models.initial_states(step, 1, 6))
    np.testing.assert_allclose(result, array(model(inputs)), rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_encoder_and_step_are_saved_and_loaded(tmp_path):
    both = step_models.encoder_and_step(
        families.transformer(**SIZES), batch=3, length=7, source_length=4
    )
    assert both.step.input["decoder1_attention_keys"].shape == (3, 7, 2, 4)
    assert both.step.input["source_mask"].shape == (3, 4)
    for part in both:
        part.save(tmp_path / "part.keras")
        loaded = keras.models.load_model(tmp_path / "part.keras")
        inputs = {
            name: np.ones(x.shape, keras.backend.standardize_dtype(x.dtype))
            for name, x in part.input.items()
        }
        for name, value in part.predict_on_batch(inputs).items():
            np.testing.assert_allclose(loaded.predict_on_batch(inputs)[name], value, atol=1e-6)


def of_target(body):
    source, target = (keras.Input((None,), dtype="int32", name=n) for n in ("source", "target"))
    x, y = (layers.Embedding(9, 4)(tokens) for tokens in (source, target))
    return keras.Model(
        [source, target], layers.Dense(9, name="head_logits")(body(x, y)), name="net"
    )


WITHOUT_A_STEP = {
    "later": lambda x, y: layers.MultiHeadAttention(1, 4, name="later")(y, y),
    "pooled": lambda x, y: layers.Add()([y, layers.GlobalAveragePooling1D(keepdims=True, name="pooled")(y)]),
    "mixed": lambda x, y: layers.Add(name="mixed")([x, y]),
    "turned": lambda x, y: layers.MultiHeadAttention(1, 4, name="turned")(x, y),
    "scores": lambda x, y: layers.MultiHeadAttention(1, 4, name="scores")(y, x, return_attention_scores=True)[0],
    "Cumsum": lambda x, y: keras.ops.cumsum(y, axis=1),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_A_STEP)
def test_a_layer_without_a_step_is_named_in_one_line(name):
    with pytest.raises(ValueError, match=rf"^net: {name.lower()}\S* .*") as error:
        step_models.encoder_and_step(of_target(WITHOUT_A_STEP[name]))
    assert "\n" not in str(error.value)


def test_errors_name_the_other_function_and_the_missing_length():
    model = families.transformer_decoder(**SIZES)
    with pytest.raises(ValueError, match="has 1 inputs"):
        step_models.encoder_and_step(model)
    with pytest.raises(ValueError, match=r"encoder_and_step"):
        step_models.step_model(families.transformer(**SIZES))
    with pytest.raises(ValueError, match=r"decoder1_attention_keys is a cache .* length"):
        step_models.initial_states(step_models.step_model(model), 1)
