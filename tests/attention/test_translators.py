"""What all translators with attention share: padding, attention weights, precision, files and training."""

import keras
import numpy as np
import pytest
from small_translators import KINDS, SOURCE, TARGET, VOCABULARY, build, run

import kapps


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_padding_changes_no_logit_and_no_step_depends_on_a_later_one(kind):
    model = build(kind)
    logits = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    is_token = TARGET > 0
    np.testing.assert_allclose(longer[:, :5][is_token], logits[is_token], rtol=1e-5, atol=1e-5)
    first_row = run(model, SOURCE[:1, :4], TARGET[:1, :3])
    np.testing.assert_allclose(logits[0, :3], first_row[0], rtol=1e-5, atol=1e-5)
    changed_target, changed_source = TARGET.copy(), SOURCE.copy()
    changed_target[1:, 3:] = 1 + changed_target[1:, 3:] % (VOCABULARY - 1)
    changed_source[:, 1] = 1 + changed_source[:, 1] % (VOCABULARY - 1)
    after = run(model, SOURCE, changed_target)
    np.testing.assert_allclose(after[1:, :3], logits[1:, :3], atol=1e-6)
    assert np.abs(after[1:, 3:] - logits[1:, 3:]).max() > 0.01
    assert np.abs(run(model, changed_source, TARGET) - logits).max() > 0.01


def test_attention_weights_are_distributions_over_the_source(kind):
    model = build(kind)
    ((_, weights),) = kapps.attention_weights(model, [SOURCE, TARGET], cross_only=True).items()
    assert weights.shape == (3, 5, 6) and weights.dtype == np.float32
    assert not weights[0, :, 4:].any() and not weights[0, 3:].any()
    sums = weights.sum(axis=-1)[TARGET > 0]
    if kind == "luong":
        assert (sums <= 1 + 1e-5).all() and sums.max() > 0.3
    else:  # the monotonic window of a late step can lie beyond a short source
        assert np.allclose(sums[sums > 0], 1, atol=1e-5) and (sums > 0).mean() > 0.7
    (first_row,) = kapps.attention_weights(
        model, [SOURCE[:1, :4], TARGET[:1, :3]], cross_only=True
    ).values()
    np.testing.assert_allclose(first_row[0], weights[0, :3, :4], rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_half_precision_has_no_nan():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        models = [build(kind) for kind in ("bahdanau", "luong")]
    finally:
        keras.config.set_dtype_policy("float32")
    source, target = np.pad(SOURCE, ((0, 0), (0, 30))), np.pad(TARGET, ((0, 0), (0, 30)))
    for model in models:
        logits = run(model, source, target)
        assert np.isfinite(logits).all() and logits.dtype == np.float32 and np.ptp(logits) > 0.1


@pytest.mark.long
def test_files_and_copies_give_the_same_logits(kind, tmp_path):
    model = build(kind)
    expected = run(model, SOURCE, TARGET)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(run(loaded, SOURCE, TARGET), expected, atol=1e-6)
    np.testing.assert_allclose(run(copy, SOURCE, TARGET), expected, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["hard", "luong"])
def test_training_with_dropout_lowers_the_loss(kind):
    model = build(kind, dropout=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    losses = [float(model.train_on_batch([SOURCE, TARGET], TARGET)) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
