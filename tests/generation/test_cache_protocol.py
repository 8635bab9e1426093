"""The cache protocol: a layer that kapps does not have decodes by it, and causal convolutions too."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps import families, generation
from kapps.generation import cache_protocol, step_models

TOKENS = np.array([[3, 4, 2, 5, 6, 1, 7], [5, 6, 7, 8, 0, 0, 0]])
VOCABULARY = 9


class WindowMix(layers.Layer):
    """A new causal layer: y_t = sum_k w_k x_{t-k} over the last K steps, element by element. Its state is a window."""

    decoding_position = False

    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)
        self.steps, self.supports_masking = steps, True

    def build(self, input_shape):
        self.width = input_shape[-1]
        shape = (self.steps, self.width)
        self.w = self.add_weight(shape=shape, initializer="random_normal", name="w")

    def call(self, x):
        padded = ops.pad(x, ((0, 0), (self.steps - 1, 0), (0, 0)))
        length = ops.shape(x)[1]
        return sum(
            self.w[k] * padded[:, self.steps - 1 - k : self.steps - 1 - k + length]
            for k in range(self.steps)
        )

    def decoding_state(self, batch, length):
        shape = (batch, self.steps - 1, self.width)
        return {"window": keras.KerasTensor(shape, self.compute_dtype)}

    def decoding_step(self, x, position, state):
        assert position is None
        window = ops.concatenate([state["window"], x], axis=1)
        y = ops.sum(self.w[::-1] * window, axis=1, keepdims=True)
        return y, {"window": window[:, 1:]}


class CumulativeMean(layers.Layer):
    """A new causal layer with a cache and the position: y_t is the mean of x_1 to x_t."""

    def call(self, x):
        count = ops.arange(1, ops.shape(x)[1] + 1, dtype="float32")
        return ops.cumsum(x, axis=1) / count[:, None]

    def decoding_state(self, batch, length):
        return {"cache": keras.KerasTensor((batch, length, 4), self.compute_dtype)}

    def decoding_step(self, x, position, state):
        steps = ops.arange(ops.shape(state["cache"])[1], dtype="int32")
        is_step = ops.expand_dims(steps[None] == position, -1)
        cache = ops.where(is_step, x, state["cache"])
        y = ops.sum(cache, axis=1, keepdims=True) / ops.cast(position[..., None] + 1, x.dtype)
        return y, {"cache": cache}


class Weighted(layers.Layer):
    """A new layer that reads the encoder: each step of x plus the mean of the source's steps that are not padding."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, source, source_mask=None):
        return x + self.mean(source, source_mask)

    def mean(self, source, mask):
        weights = ops.expand_dims(ops.cast(mask, source.dtype), -1)
        total = ops.sum(source * weights, axis=1, keepdims=True)
        return total / ops.sum(weights, axis=1, keepdims=True)

    def decoding_memory(self, source):
        return {"doubled": 2 * source}

    def decoding_state(self, batch, length, memory):
        return {}

    def decoding_step(self, x, position, state, memory):
        return x + self.mean(memory["doubled"] / 2, memory["source_mask"]), {}


def language_model(layer, mask_zero=True):
    keras.utils.set_random_seed(0)
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(VOCABULARY, 4, mask_zero=mask_zero, embeddings_initializer="normal")(
        tokens
    )
    x = layer(x)
    return keras.Model(tokens, layers.Dense(VOCABULARY, name="head_logits")(x), name="net")


def array(x):
    return ops.convert_to_numpy(x)


def decode(step, tokens, states):
    """Returns the logits of all steps, computed one step at a time."""
    logits = []
    for column in tokens.T:
        outputs = step.predict_on_batch({"tokens": column[:, None], **states})
        states = {name: array(outputs[name]) for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1)


@pytest.mark.parametrize("layer", [WindowMix(3, name="mix"), CumulativeMean(name="mean")])
def test_a_new_causal_layer_decodes_as_the_whole_model(layer):
    model = language_model(layer, mask_zero=isinstance(layer, WindowMix))
    expected = array(model(TOKENS))
    step = generation.step_model(model)
    logits = decode(step, TOKENS, step_models.initial_states(step, 2, length=7))
    np.testing.assert_allclose(logits[TOKENS > 0], expected[TOKENS > 0], atol=1e-6)
    (name,) = (name for name in step_models.state_names(step) if name.startswith(layer.name))
    assert cache_protocol.is_cache(name) == isinstance(layer, CumulativeMean)
    assert ("position" in step.input) == isinstance(layer, CumulativeMean)


def test_padding_leaves_the_window_unchanged():
    step = generation.step_model(language_model(WindowMix(3, name="mix")))
    padded, whole = np.array([[3, 4, 0, 6, 7]]), np.array([[3, 4, 6, 7]])
    states = step_models.initial_states(step, 1)
    np.testing.assert_allclose(
        decode(step, padded, states)[:, 3:], decode(step, whole, states)[:, 2:], atol=1e-6
    )


@pytest.mark.long
def test_generation_and_beam_search_use_a_new_layers_state():
    model = language_model(WindowMix(3, name="mix"))
    generated = generation.generate(model, [[3, 4, 5]], 6, temperature=0)[0]
    tokens = [3, 4, 5]
    for token in generated:
        logits = array(model(np.array([tokens])))[0, -1]
        assert token == 2 + int(np.argmax(logits[2:]))  # 0 and 1 are never generated
        tokens.append(int(token))
    # A window is not a cache, so its size does not limit the number of tokens.
    fixed = generation.step_model(model, batch=1, length=2)
    np.testing.assert_array_equal(
        generation.generate(fixed, [[3, 4, 5]], 6, temperature=0)[0], generated
    )
    np.testing.assert_array_equal(generation.generate(model, [[3, 4, 5]], 6, beam=1)[0], generated)


def test_a_new_layer_that_reads_the_encoder():
    keras.utils.set_random_seed(0)
    source, target = (keras.Input((None,), dtype="int32", name=n) for n in ("source", "target"))
    x, y = (layers.Embedding(9, 4, mask_zero=True)(tokens) for tokens in (source, target))
    y = Weighted(name="weighted")(y, x)
    model = keras.Model([source, target], layers.Dense(9, name="head_logits")(y), name="net")
    encoder, step = generation.encoder_and_step(model)
    sources = np.array([[3, 4, 5], [6, 0, 0]])
    memory = encoder.predict_on_batch({"source": sources})
    assert set(memory) == {"weighted_doubled", "source_mask"}
    logits = [
        array(step.predict_on_batch({"target": column[:, None], **memory, "position": column[:, None]})["logits"])
        for column in TOKENS[:, :4].T
    ]  # fmt: skip
    expected = array(model([sources, TOKENS[:, :4]]))
    np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("kernel_size, levels", [(1, 1), (3, 2)])
def test_causal_convolutions_decode(kernel_size, levels, tmp_path):
    x = keras.Input((None, 2), name="tokens")
    model = families.tcn(
        input_tensor=x, hidden=3, levels=levels, kernel_size=kernel_size, dropout=0.1, every_step=True, classes=4
    )  # fmt: skip
    step = generation.step_model(model)
    inputs = np.random.default_rng(0).normal(size=(2, 12, 2)).astype("float32")
    logits_model = keras.Model(model.input, model.get_layer("head_logits").output)
    expected = array(logits_model(inputs))
    step.save(tmp_path / "step.keras")
    loaded = keras.saving.load_model(tmp_path / "step.keras", safe_mode=True)
    for one in (step, loaded):
        states, logits = step_models.initial_states(one, 2), []
        for t in range(12):
            outputs = one.predict_on_batch({"tokens": inputs[:, t : t + 1], **states})
            states = {name: array(outputs[name]) for name in states}
            logits.append(array(outputs["logits"]))
        np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert len(states) == (2 * levels if kernel_size > 1 else 0)


@pytest.mark.parametrize("family", ["bahdanau", "luong", "encoder_decoder"])
@pytest.mark.long
def test_step_models_of_recurrent_translators_are_saved_and_loaded(family, tmp_path):
    model = getattr(families, family)(vocabulary=11, embedding=3, units=4)
    both = generation.encoder_and_step(model, batch=2, length=4, source_length=3)
    encoder_names = {weight.path for weight in both.encoder.weights}
    assert not any(path.startswith("decoder/") and "lstm" in path for path in encoder_names)
    for half in both:
        half.save(tmp_path / "half.keras")
        loaded = keras.saving.load_model(tmp_path / "half.keras", safe_mode=True)
        inputs = {
            name: np.ones(x.shape, keras.backend.standardize_dtype(x.dtype))
            for name, x in half.input.items()
        }
        expected = half.predict_on_batch(inputs)
        for name, value in loaded.predict_on_batch(inputs).items():
            np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_a_layer_without_the_protocol_is_named_in_the_error():
    class Reverse(layers.Layer):
        def call(self, x):
            return x[:, ::-1]

    with pytest.raises(ValueError, match=r"^net: turned \(Reverse\)") as error:
        generation.step_model(language_model(Reverse(name="turned"), mask_zero=False))
    assert "cache_protocol" in str(error.value) and "\n" not in str(error.value)
