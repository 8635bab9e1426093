"""The Universal Transformer: the papers' sizes, its recurrence, halting, decoding, files."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps._keras_compat import call_nodes
from kapps.families import universal_transformer
from kapps.generation import step_models
from kapps.layers.halting import halting_weights

VOCABULARY, D, STEPS = 13, 8, 3
SMALL = dict(vocabulary=VOCABULARY, steps=STEPS, d_model=D, ffn=12, heads=2, dropout=0.0)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs), training=False))


def build(**options):
    """A small model of logits with random weights."""
    model = universal_transformer(**{**SMALL, "classifier_activation": None, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(random.normal(variable.name == "gamma", 0.4, variable.shape))
    return model


def test_parameters_are_tensor2tensors():
    """One layer of each kind, a vector for each step, a norm at the end of each stack, and the embedding."""

    def count(d, ffn, steps, units=0):
        attention, dense, norm = 4 * d * d, 2 * d * ffn + ffn + d, 2 * d
        encoder = attention + dense + 2 * norm
        decoder = 2 * attention + dense + 3 * norm
        return encoder + decoder + 2 * (steps * d + norm) + units * (d + 1) + 33_288 * d

    sizes = {"small": count(512, 2048, 6), "base": count(1024, 4096, 6)}
    sizes["adaptive"] = count(1024, 4096, 12, units=2)
    assert sizes == {"small": 24_401_920, "base": 63_483_904, "adaptive": 63_498_242}
    for name, size in sizes.items():
        assert getattr(kapps, f"universal_transformer_{name}").card.params == size


def test_the_number_of_steps_changes_no_weight_but_the_steps():
    sizes = [universal_transformer(**{**SMALL, "steps": n}).count_params() for n in (1, 2, 4)]
    assert np.diff(sizes).tolist() == [2 * D, 4 * D]
    sines = [
        universal_transformer(**{**SMALL, "steps": n}, learned_steps=False).count_params()
        for n in (1, 2)
    ]
    assert sines == [sizes[0] - 2 * D] * 2


@pytest.mark.parametrize("options", [{}, {"norm_first": False, "learned_steps": False}])
def test_outputs_are_those_of_a_layer_applied_again_and_again(options):
    """The layers of the model, called by hand in a loop."""
    model = build(**options)
    layer = {x.name: x for x in model.layers}

    def part(x, name, function):
        norm = layer[f"{name}_norm"]
        if options:
            return norm(x + function(x))
        return x + function(norm(x))

    def ffn(name):
        return lambda x: layer[f"{name}2"](layer[f"{name}1"](x))

    def attend(name, memory=None, causal=False):
        attention = layer[name]
        return lambda x: attention(x, x if memory is None else memory, use_causal_mask=causal)

    def encoding(x, name, t):
        i = np.arange(D) // 2
        rates = 10000.0 ** (-2 * i / D)
        pos = np.arange(x.shape[1])[:, None]

        def sines(p):
            return np.where(np.arange(D) % 2, np.cos(p * rates), np.sin(p * rates))

        step = sines(np.array([[t]])) if options else array(layer[f"{name}_step{t}"].vector)
        return x + (sines(pos) + step).astype("float32")

    source, target = SOURCE[1:], TARGET[1:]  # without padding
    x = array(layer["embedding"](source)) * D**0.5
    for t in range(1, STEPS + 1):
        x = encoding(x, "encoder", t)
        x = part(x, "encoder1_attention", attend("encoder1_attention"))
        x = part(x, "encoder1_ffn", ffn("encoder1_ffn"))
    memory = x if options else layer["encoder_norm"](x)
    x = array(layer["embedding"](target)) * D**0.5
    for t in range(1, STEPS + 1):
        x = encoding(x, "decoder", t)
        x = part(x, "decoder1_attention", attend("decoder1_attention", causal=True))
        x = part(x, "decoder1_cross", attend("decoder1_cross", memory))
        x = part(x, "decoder1_ffn", ffn("decoder1_ffn"))
    x = x if options else layer["decoder_norm"](x)
    expected = array(x) @ array(layer["embedding"].embeddings).T
    np.testing.assert_allclose(run(model, source, target), expected, atol=2e-4)


def decode(step, encoded):
    """Returns the logits of single steps, and the states' shapes."""
    states = step_models.initial_states(step, 3, length=5)
    shapes = {name: value.shape[1:] for name, value in states.items()}
    logits = []
    for column in TARGET.T:
        inputs = {"target": column[:, None], **encoded, **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1), shapes


@pytest.mark.long
@pytest.mark.parametrize("halting", [False, True])
def test_single_steps_have_a_cache_for_each_application(halting, tmp_path):
    model = build(halting=halting)
    encoder, step = generation.encoder_and_step(model)
    encoded = encoder({"source": keras.ops.convert_to_tensor(SOURCE)}, training=False)
    assert set(encoded) == {"decoder1_cross_keys", "decoder1_cross_values", "source_mask"}
    expected = run(model, SOURCE, TARGET)
    logits, shapes = decode(step, encoded)
    np.testing.assert_allclose(logits[TARGET > 0], expected[TARGET > 0], rtol=1e-5, atol=1e-5)
    caches = {
        f"decoder1_attention{call}_{name}": (5, 2, D // 2)
        for call in ("", "_call2", "_call3")
        for name in ("keys", "values")
    }
    assert shapes == {"position": (1,), **caches}
    step.save(tmp_path / "step.keras")
    loaded = keras.saving.load_model(tmp_path / "step.keras", safe_mode=True)
    np.testing.assert_allclose(decode(loaded, encoded)[0], logits, rtol=1e-5, atol=1e-5)


def test_the_ponder_cost_is_a_loss_of_each_stack_apart_from_the_tasks():
    model = build(halting=True, ponder=0.3)
    assert not model.losses
    model([SOURCE, TARGET], training=True)
    losses = [float(loss) for loss in model.losses]
    nodes = [
        [node.output_tensors[0] for node in call_nodes(model.get_layer(f"{name}_halting"))]
        for name in ("encoder", "decoder")
    ]
    assert list(map(len, nodes)) == [STEPS, STEPS]
    for loss, tensors, tokens in zip(losses, nodes, (SOURCE, TARGET), strict=True):
        p = np.concatenate(keras.Model(model.inputs, tensors)([SOURCE, TARGET]), axis=-1)
        _, n, r = (array(x) for x in halting_weights(p))
        assert loss == pytest.approx(0.3 * np.average(n + r, weights=tokens > 0), rel=1e-4)
    silent = build(halting=True, ponder=0.0)
    silent([SOURCE, TARGET], training=True)
    assert not silent.losses


def with_bias(value, **options):
    """A model whose halting probabilities are all sigmoid(value)."""
    model = build(halting=True, **options)
    for name in ("encoder", "decoder"):
        unit = model.get_layer(f"{name}_halting")
        unit.w.assign(0 * unit.w)
        unit.b.assign([value])
    return model


def test_certain_halting_uses_one_application():
    model, one = with_bias(50.0), build(halting=True, steps=1)
    values = {variable.path: variable for variable in model.weights}
    for variable in one.weights:
        variable.assign(values[variable.path])
    expected = run(one, SOURCE, TARGET)
    np.testing.assert_allclose(run(model, SOURCE, TARGET), expected, atol=1e-4)


def test_without_halting_probability_the_mixture_is_0():
    logits = run(with_bias(-50.0), SOURCE, TARGET)
    assert np.ptp(logits, axis=(0, 1)).max() < 1e-3 < np.ptp(logits)


def test_files_and_copies_are_the_same(tmp_path):
    model = build(halting=True)
    expected = run(model, SOURCE, TARGET)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(run(loaded, SOURCE, TARGET), expected, atol=1e-6)
    assert loaded.count_params() == model.count_params()


@pytest.mark.long
def test_beam_search():
    model = universal_transformer(**SMALL)
    assert len(kapps.translate(model, SOURCE, start=1, end=2, steps=4, beam=2)) == 3


def test_attention_weights_of_each_application():
    model = universal_transformer(**SMALL)
    weights = kapps.attention_weights(model, [SOURCE, TARGET], cross_only=True)
    assert list(weights) == ["decoder1_cross", "decoder1_cross_call2", "decoder1_cross_call3"]
    assert all(w.shape == (3, 2, 5, 7) for w in weights.values())


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(heads=3), ["heads=3", "d_model=8"]),
        (dict(halting=True, mixture="mean"), ["mixture", "mean", "recursive"]),
        (dict(steps=0), ["steps", "0"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        universal_transformer(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)
