"""The Synthesizer: the papers' sizes, padding and causality, beam search, and errors."""

import keras
import numpy as np
import pytest

import kapps
from kapps.families import synthesizer

VOCABULARY = 13
SMALL = dict(vocabulary=VOCABULARY, layers=1, d_model=8, ffn=12, heads=2, dropout=0.0, length=9)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = 0


def test_parameters_are_the_papers():
    """arXiv:2005.00743, Table 1: 67M, 61M, 67M, 61M and 73M; the Transformer has 67M there and 63.0M here."""
    base, n, heads, attentions = kapps.transformer_base.card.params, 256, 8, 12
    query_and_key = attentions * 2 * 512 * 512
    matrices = attentions * heads * n * n
    factors = attentions * heads * 2 * n * 8
    params = {
        "random": base - query_and_key + matrices,
        "fixed_random": base - query_and_key,
        "factorised_random": base - query_and_key + factors,
        "random_dot_product": base + matrices + attentions * 2,
    }
    printed = {"random": 0, "fixed_random": -6, "factorised_random": -6, "random_dot_product": 6}
    for name, count in params.items():
        assert getattr(kapps, f"synthesizer_{name}").card.params == count
        assert count == pytest.approx(base + printed[name] * 1e6, abs=0.5e6)


def test_padding_changes_no_logit_and_no_step_depends_on_a_later_one():
    model = synthesizer(classifier_activation=None, kinds=("random", "dense"), **SMALL)
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(random.normal(variable.name == "gamma", 0.4, variable.shape))

    def run(source, target):
        return keras.ops.convert_to_numpy(model([source, target], training=False))

    result = run(SOURCE, TARGET)
    longer = run(*(np.pad(x, ((0, 0), (0, 2))) for x in (SOURCE, TARGET)))
    np.testing.assert_allclose(longer[:, :5][TARGET > 0], result[TARGET > 0], atol=1e-4)
    np.testing.assert_allclose(result[0, :3], run(SOURCE[:1, :4], TARGET[:1, :3])[0], atol=1e-4)
    changed = TARGET.copy()
    changed[1:, 3:] = 1 + changed[1:, 3:] % (VOCABULARY - 1)
    after = run(SOURCE, changed)
    np.testing.assert_allclose(after[1:, :3], result[1:, :3], rtol=1e-5, atol=1e-5)
    assert np.abs(after[1:, 3:] - result[1:, 3:]).max() > 0.1


@pytest.mark.long
@pytest.mark.parametrize("beam", [1, 2])
def test_translate_equals_the_whole_model(beam):
    model = synthesizer(kinds=("random",), **SMALL)
    tokens = kapps.translate(model, SOURCE, start=1, end=2, steps=6, beam=beam)
    assert len(tokens) == 3
    if beam == 1:
        written = [1]
        for token in tokens[1]:
            scores = keras.ops.convert_to_numpy(model([SOURCE[1:2], np.array([written])]))[0, -1]
            assert scores[token] == pytest.approx(scores[2:].max(), abs=1e-6)
            written.append(int(token))


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(kinds=("randm",)), ["kinds", "random"]),
        (dict(input_shape=(10,)), ["10", "9"]),
        (dict(heads=3), ["heads=3", "d_model=8"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        synthesizer(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)
