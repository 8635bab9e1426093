"""Label smoothing of integer labels, and the loss of several exits, against Keras's losses of one-hot labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training


class TestSmoothedSparseCrossentropy:
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_equals_the_loss_of_keras_for_one_hot_labels(self, smoothing):
        draw = np.random.default_rng(0)
        logits = tf.constant(draw.normal(0, 3, (3, 5, 7)), tf.float32)
        labels = draw.integers(1, 7, (3, 5))
        weights = (np.arange(5) < np.array([[5], [3], [0]])).astype("float32")
        ours = training.SmoothedSparseCrossentropy(smoothing)
        keras_s = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=smoothing, reduction="mean_with_sample_weight"
        )
        one_hot = np.eye(7, dtype="float32")[labels]
        results = []
        for loss, right in ((ours, labels), (keras_s, one_hot)):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(right, logits, sample_weight=weights)
            results.append((value, tape.gradient(value, logits)))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
        np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-7)
        assert not results[0][1][2].numpy().any(), "padding has no gradient"

    def test_large_logits_and_half_precision_stay_finite(self):
        logits = tf.constant([[6e4, -6e4, 0.0]], tf.float16)
        assert float(training.SmoothedSparseCrossentropy(0.1)([0], logits)) == pytest.approx(
            # log sum exp is 6e4, and the mean of the logits is 0.
            6e4 - 0.9 * 6e4, rel=1e-3,
        )  # fmt: skip

    def test_trains_and_is_saved(self, tmp_path):
        tokens = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(6, 4, mask_zero=True)(tokens)
        model = keras.Model(tokens, keras.layers.Dense(6)(x))
        model.compile("adam", training.SmoothedSparseCrossentropy(0.2), jit_compile=False)
        x = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
        losses = [model.train_on_batch(x, x, (x > 0).astype("float32")) for _ in range(30)]
        assert losses[-1] < losses[0]
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert loaded.loss.label_smoothing == 0.2

    def test_errors(self):
        with pytest.raises(ValueError, match="label_smoothing=1"):
            training.SmoothedSparseCrossentropy(1)


class TestJointCrossentropy:
    def test_is_the_sum_of_the_cross_entropies_of_all_exits(self):
        draw = np.random.default_rng(0)
        logits = draw.normal(size=(4, 3, 5)).astype("float32")
        labels = np.eye(5, dtype="float32")[[0, 4, 2, 2]]
        one = keras.losses.CategoricalCrossentropy(from_logits=True)
        losses = [float(one(labels, logits[:, i])) for i in range(3)]
        assert float(training.JointCrossentropy()(labels, logits)) == pytest.approx(sum(losses))
        weights = (0.5, 0.0, 2.0)
        expected = np.dot(weights, losses)
        loss = training.JointCrossentropy(weights)
        assert float(loss(labels, logits)) == pytest.approx(expected)
        loaded = keras.losses.deserialize(keras.losses.serialize(loss))
        assert float(loaded(labels, logits)) == pytest.approx(expected)
        probabilities = keras.ops.softmax(logits)
        probable = training.JointCrossentropy(from_logits=False)
        assert float(probable(labels, probabilities)) == pytest.approx(sum(losses), rel=1e-5)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"weights=\[-1\]"):
            training.JointCrossentropy([-1])
        with pytest.raises(ValueError, match="3 exits need 3 weights"):
            training.JointCrossentropy((1, 1))(np.ones((1, 2)), np.ones((1, 3, 2)))


@pytest.mark.parametrize("sequence", [False, True])
def test_exit_crossentropy_is_the_formula(sequence):
    random = np.random.default_rng(0)
    labels = random.integers(1, 6, (2, 4))
    labels[0, 3] = 0
    p = random.dirichlet(np.ones(6), (2, 4, 3))
    q = random.dirichlet(np.ones(3), (2, 4))
    loss = training.ExitCrossentropy(0.7, 0.2, sequence, reduction="none")
    result = keras.ops.convert_to_numpy(loss(labels, np.log(p * q[..., None]).astype("float32")))
    for b, t in np.ndindex(2, 4):
        likelihood = np.log(p[b, t, :, labels[b, t]])
        score = likelihood
        if sequence:
            steps = np.flatnonzero(labels[b])
            score = np.mean([np.log(p[b, s, :, labels[b, s]]) for s in steps], axis=0)
        best = np.argmax(score - 0.2 * np.arange(3))
        expected = -likelihood.mean() - 0.7 * np.log(q[b, t, best])
        assert result[b, t] == pytest.approx(expected, rel=1e-5)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert copy.get_config() == loss.get_config()
    with pytest.raises(ValueError, match="alpha=-1"):
        training.ExitCrossentropy(-1.0)


def test_exit_perplexity_is_that_of_the_mean_log_probability_of_the_exits():
    random = np.random.default_rng(0)
    labels = random.integers(1, 6, (2, 4))
    weights = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], "float32")
    p = random.dirichlet(np.ones(6), (2, 4, 3))
    scores = np.log(p) + random.normal(size=(2, 4, 3, 1))  # log q is in the scores of an exit
    metric = training.ExitPerplexity()
    metric.update_state(labels, scores.astype("float32"), weights)
    logs = [np.log(p[b, t, :, labels[b, t]]).mean() for b, t in np.argwhere(weights)]
    assert float(metric.result()) == pytest.approx(np.exp(-np.mean(logs)), rel=1e-5)
