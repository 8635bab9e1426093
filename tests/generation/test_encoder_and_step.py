"""A network of a source and a target in two halves, against the whole of it; and what has none."""

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
    "without feeding": lambda: families.luong(units=6, layers=1, score="dot", window="global", input_feeding=False, **TEXT),
    "trained positions": lambda: families.transformer(**SIZES, positions=9),
}  # fmt: skip


def array(x):
    return keras.ops.convert_to_numpy(x)


def large(model):
    """Weights large enough for decided answers."""
    for variable in model.trainable_variables:
        variable.assign(variable * (2 if "transformer" in model.name else 8))
    return model


def run(one, target, states):
    """Returns the logits of each step, one after the other."""
    (name,) = set(one.input) - set(states)
    found = []
    for column in target.T:
        given = one.predict_on_batch({name: column[:, None], **states})
        states = {**states, **{key: array(given[key]) for key in step_models.state_names(one)}}
        found.append(array(given["logits"])[:, 0])
    return np.stack(found, axis=1)


@pytest.mark.parametrize("kind", MODELS)
def test_halves_equal_the_whole(kind):
    keras.utils.set_random_seed(0)
    model = large(MODELS[kind]())
    encoder, one = step_models.encoder_and_step(model)
    known = {name: array(x) for name, x in encoder.predict_on_batch({"source": SOURCE}).items()}
    found = run(one, TARGET, {**step_models.initial_states(one, 3, length=6), **known})
    expected = array(model([SOURCE, TARGET]))
    shares = array(keras.ops.softmax(found))
    np.testing.assert_allclose(shares[TARGET > 0], expected[TARGET > 0], atol=1e-5)
    assert expected.max() > 0.3, "answers are decided"
    assert {id(v) for half in (encoder, one) for v in half.variables} == {
        id(v) for v in model.variables
    }
    # A source has its own answer in a batch of others, where it is padded.
    alone = encoder.predict_on_batch({"source": SOURCE[1:2, :2]})
    states = {**step_models.initial_states(one, 1, length=5), **{name: array(x) for name, x in alone.items()}}
    np.testing.assert_allclose(
        run(one, TARGET[1:2], states)[0, :4], found[1, :4], rtol=1e-4, atol=1e-5
    )


def test_a_language_model_of_attention_in_steps():
    keras.utils.set_random_seed(0)
    model = large(families.transformer_decoder(**SIZES))
    one = step_models.step_model(model)
    found = array(keras.ops.softmax(run(one, TARGET, step_models.initial_states(one, 3, length=5))))
    np.testing.assert_allclose(found[TARGET > 0], array(model(TARGET))[TARGET > 0], atol=1e-5)


def test_padding_moves_nothing_on():
    """A prompt of two tokens beside one of three: what follows is as without the padding between."""
    keras.utils.set_random_seed(0)
    one = step_models.step_model(large(families.transformer_decoder(**SIZES)))
    padded, whole = np.array([[3, 4, 0, 6, 7]]), np.array([[3, 4, 6, 7]])
    states = step_models.initial_states(one, 1, length=5)
    np.testing.assert_allclose(
        run(one, padded, states)[:, 3:], run(one, whole, states)[:, 2:], atol=1e-6
    )


def test_a_sliding_window():
    keras.utils.set_random_seed(0)
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4)(tokens)
    x = layers.MultiHeadAttention(1, 4, sliding_window=2)(x, x, use_causal_mask=True)
    model = keras.Model(tokens, layers.Dense(9, name="head_logits")(x))
    one, given = step_models.step_model(model), np.array([[3, 4, 2, 5, 6, 1]])
    found = run(one, given, step_models.initial_states(one, 1, 6))
    np.testing.assert_allclose(found, array(model(given)), atol=1e-5)


def test_both_halves_are_saved_and_loaded(tmp_path):
    both = step_models.encoder_and_step(
        families.transformer(**SIZES), batch=3, length=7, source_length=4
    )
    assert both.step.input["decoder1_attention_keys"].shape == (3, 7, 2, 4)
    assert both.step.input["source_mask"].shape == (3, 4)
    for half in both:
        half.save(tmp_path / "half.keras")
        loaded = keras.models.load_model(tmp_path / "half.keras")
        given = {
            name: np.ones(x.shape, keras.backend.standardize_dtype(x.dtype))
            for name, x in half.input.items()
        }
        for name, value in half.predict_on_batch(given).items():
            np.testing.assert_allclose(loaded.predict_on_batch(given)[name], value, atol=1e-6)


def of_target(body):
    source, target = (keras.Input((None,), dtype="int32", name=n) for n in ("source", "target"))
    x, y = (layers.Embedding(9, 4)(tokens) for tokens in (source, target))
    return keras.Model(
        [source, target], layers.Dense(9, name="head_logits")(body(x, y)), name="net"
    )


REFUSED = {
    "later": lambda x, y: layers.MultiHeadAttention(1, 4, name="later")(y, y),
    "pooled": lambda x, y: layers.Add()([y, layers.GlobalAveragePooling1D(keepdims=True, name="pooled")(y)]),
    "beside": lambda x, y: layers.Add(name="beside")([x, y]),
    "turned": lambda x, y: layers.MultiHeadAttention(1, 4, name="turned")(x, y),
    "scores": lambda x, y: layers.MultiHeadAttention(1, 4, name="scores")(y, x, return_attention_scores=True)[0],
    "Cumsum": lambda x, y: keras.ops.cumsum(y, axis=1),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_step_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=rf"^net: {name.lower()}\S* .*") as caught:
        step_models.encoder_and_step(of_target(REFUSED[name]))
    assert "\n" not in str(caught.value)


def test_one_input_or_two():
    model = families.transformer_decoder(**SIZES)
    with pytest.raises(ValueError, match="has 1 inputs"):
        step_models.encoder_and_step(model)
    with pytest.raises(ValueError, match=r"encoder_and_step"):
        step_models.step_model(families.transformer(**SIZES))
    with pytest.raises(ValueError, match="decoder1_attention_keys is a cache .* length"):
        step_models.initial_states(step_models.step_model(model), 1)
