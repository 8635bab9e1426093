"""Area attention in a Transformer: the size, the layers that have areas, decoding."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import area_attention, transformer
from kapps.generation import step_models
from kapps.layers import MultiHeadAreaAttention

VOCABULARY, D = 13, 8
SMALL = dict(vocabulary=VOCABULARY, layers=2, d_model=D, ffn=12, heads=2, dropout=0.0)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(family=area_attention, **options):
    model = family(classifier_activation=None, **{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(random.normal(variable.name == "gamma", 0.4, variable.shape))
    return model


def run(model, *inputs):
    return array(model(list(inputs), training=False))


def areas_of(model):
    return {x.name for x in model.layers if isinstance(x, MultiHeadAreaAttention)}


def test_parameters_are_the_transformers():
    assert kapps.area_attention_base.card.params == kapps.transformer_base.card.params
    model = transformer(use_bias=False, **SMALL)
    assert area_attention(**SMALL).count_params() == model.count_params()
    learned = area_attention(area=3, key_mode="sum", area_layers=1, **SMALL).count_params()
    d = D // 2
    each_layer = 2 * (d * d + d) + (3 + 1) * d // 2
    assert learned == model.count_params() + 3 * each_layer


def test_the_lower_layers_have_areas_and_areas_of_one_step_are_the_transformer():
    lower = {"encoder1_attention", "decoder1_attention", "decoder1_cross"}
    assert areas_of(build(area_layers=1)) == lower and len(areas_of(build(area_layers=9))) == 6
    ordinary = build(transformer, use_bias=False)
    for options in (dict(area=1), dict(area=1, area_layers=1)):
        expected = run(ordinary, SOURCE, TARGET)
        np.testing.assert_allclose(run(build(**options), SOURCE, TARGET), expected, atol=1e-6)
    assert np.abs(run(build(), SOURCE, TARGET) - run(ordinary, SOURCE, TARGET)).max() > 0.1


@pytest.mark.long
def test_single_steps_equal_the_whole_with_the_cache_of_ordinary_attention():
    model = build()
    encoder, step = generation.encoder_and_step(model)
    encoded = encoder({"source": keras.ops.convert_to_tensor(SOURCE)}, training=False)
    expected, states = run(model, SOURCE, TARGET), step_models.initial_states(step, 3, length=6)
    assert {x.shape for name, x in states.items() if name != "position"} == {(3, 6, 2, D // 2)}
    for t, column in enumerate(TARGET.T):
        inputs = {"target": column[:, None], **encoded, **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        real = column > 0
        np.testing.assert_allclose(
            array(outputs["logits"])[real, 0], expected[real, t], rtol=1e-5, atol=1e-5
        )
    assert len(kapps.translate(model, SOURCE, start=1, end=2, steps=4, beam=2)) == 3


def test_the_areas_inside_a_marked_run_have_equal_weights():
    """Attention to the mark: the mean of the marked values with m = 1, of the sums of the runs inside with m = 3."""
    values = np.arange(7, dtype="float32")
    marks = 100 * ((values > 1) & (values < 5)).astype("float32")
    x = np.stack([marks, values], axis=-1)[None]
    first, second = np.eye(2, dtype="float32")
    weights = [
        first[:, None, None] * first,
        first[:, None, None] * first,
    ]  # query and key read the mark
    weights += [second[:, None, None] * second, np.diag(second)[None]]  # value and output
    for m, runs in ((1, [[2], [3], [4]]), (3, [[2], [3], [4], [2, 3], [3, 4], [2, 3, 4]])):
        layer = MultiHeadAreaAttention(1, 2, max_width=m, use_bias=False)
        layer.build(x.shape, x.shape)
        layer.set_weights(weights)
        assert array(layer(x, x))[0, 3, 1] == pytest.approx(np.mean([sum(run) for run in runs]))


@pytest.mark.parametrize(
    "options, words",
    [(dict(heads=3), ["heads=3", "d_model=8"]), (dict(key_mode="max"), ["key_mode", "max"])],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        area_attention(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)
