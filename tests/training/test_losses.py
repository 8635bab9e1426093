"""The Transformer's schedule by the paper's equation, smoothed labels as Keras smooths one-hot ones, mean weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.data import translation


class TestSchedule:
    def test_the_papers_equation(self):
        rate = training.transformer_schedule(512)
        for n in (1, 10, 3999, 4000, 4001, 100_000):
            expected = 512**-0.5 * min(n**-0.5, n * 4000**-1.5)
            assert float(rate(n - 1)) == pytest.approx(expected, rel=1e-5)

    def test_named_by_its_peak(self):
        rate = training.InverseSquareRoot(5e-3, 2000)
        found = [float(rate(n - 1)) for n in (1, 1000, 2000, 8000)]
        np.testing.assert_allclose(found, [5e-3 / 2000, 2.5e-3, 5e-3, 2.5e-3], rtol=1e-5)
        again = keras.optimizers.Adam.from_config(keras.optimizers.Adam(rate).get_config())
        assert float(again._learning_rate(999)) == found[1]
        for peak, warmup in ((0, 10), (1e-3, 0)):
            with pytest.raises(ValueError, match=f"peak={peak}, warmup={warmup}"):
                training.InverseSquareRoot(peak, warmup)


class TestSmoothing:
    @pytest.mark.parametrize("share", [0.0, 0.1])
    def test_is_kerass_on_one_hot_labels(self, share):
        draw = np.random.default_rng(0)
        logits = tf.constant(draw.normal(0, 3, (3, 5, 7)), tf.float32)
        labels = draw.integers(1, 7, (3, 5))
        weights = (np.arange(5) < np.array([[5], [3], [0]])).astype("float32")
        ours = training.SmoothedSparseCrossentropy(share)
        keras_s = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=share, reduction="mean_with_sample_weight"
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
        assert not results[0][1][2].numpy().any(), "padding moves nothing"

    def test_large_logits_and_half_precision_stay_finite(self):
        logits = tf.constant([[6e4, -6e4, 0.0]], tf.float16)
        assert float(training.SmoothedSparseCrossentropy(0.1)([0], logits)) == pytest.approx(
            # log sum exp is 6e4, and the logits' mean 0.
            6e4 - 0.9 * 6e4, rel=1e-3,
        )  # fmt: skip

    def test_trains_under_a_policy_and_is_saved(self, tmp_path):
        tokens = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(6, 4, mask_zero=True)(tokens)
        model = keras.Model(tokens, keras.layers.Dense(6)(x))
        model.compile("adam", training.SmoothedSparseCrossentropy(0.2), jit_compile=False)
        x = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
        losses = [model.train_on_batch(x, x, (x > 0).astype("float32")) for _ in range(30)]
        assert losses[-1] < losses[0]
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert again.loss.label_smoothing == 0.2

    def test_refuses(self):
        with pytest.raises(ValueError, match="label_smoothing=1"):
            training.SmoothedSparseCrossentropy(1)


def small():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)], name="small"
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


class TestAverage:
    def fit(self, folder, epochs, kept, every=500):
        model = small()
        checkpoints = training.Checkpoints(
            folder, steps_per_epoch=4, interval=every, epoch_ends=kept, identity={"asked": 1}
        )
        step = checkpoints.restore(model)
        x, y = np.random.default_rng(0).random((2, 40, 3), "float32")
        data = tf.data.Dataset.from_tensor_slices((x, y[:, :2])).batch(10).repeat()
        weights = []
        kept_weights = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: weights.append(model.get_weights())
        )
        model.fit(
            data, epochs=epochs, initial_epoch=step // 4, steps_per_epoch=4, verbose=0,
            callbacks=checkpoints.surround([kept_weights]),
        )  # fmt: skip
        return model, checkpoints, weights

    def test_is_numpys_mean_of_the_last_epochs(self, tmp_path):
        model, checkpoints, weights = self.fit(tmp_path, 5, kept=3, every=1)
        files = checkpoints.epoch_files()
        assert [int(path.stem[5:]) for path in files] == [12, 16, 20]
        assert len(list(tmp_path.iterdir())) == 4, "and step 19, by which it goes on"
        training.average_checkpoints(model, files)
        for found, *parts in zip(model.get_weights(), *weights[-3:], strict=True):
            np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-6)
        with np.load(files[-1]) as file:
            states = [v for v in model.variables if "seed" in v.path]
            assert len(states) == 1
            place = [v is states[0] for v in model.variables].index(True)
            np.testing.assert_array_equal(states[0].numpy(), file[f"v{place}"])

    def test_a_run_that_goes_on_keeps_the_same_epochs(self, tmp_path):
        _, whole, _ = self.fit(tmp_path / "whole", 4, kept=3)
        self.fit(tmp_path / "parts", 2, kept=3)
        _, parts, _ = self.fit(tmp_path / "parts", 4, kept=3)
        assert [path.name for path in whole.epoch_files()] == [
            path.name for path in parts.epoch_files()
        ]

    def test_refuses(self, tmp_path):
        model, checkpoints, _ = self.fit(tmp_path, 1, kept=1)
        other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)], name="other")
        with pytest.raises(ValueError, match="does not fit other"):
            training.average_checkpoints(other, checkpoints.epoch_files())
        with pytest.raises(ValueError, match="no checkpoint"):
            training.average_checkpoints(model, [])


class Ends(keras.callbacks.Callback):
    """Ends a training in the middle, as a machine that fails does."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise training.TrainingStopped("gone")


def test_a_run_on_pairs_goes_on_where_it_was_stopped(tmp_path):
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 9, 60)
    flat, ends = draw.integers(2, 9, lengths.sum()).astype("int32"), np.cumsum(lengths)
    plan = translation.TokenBatches(
        translation.EncodedPairs(flat, ends, flat, ends, start=9, end=10), 80, ranges=(2, 1)
    )

    def fit(folder, *callbacks, epochs=3):
        keras.utils.set_random_seed(1)
        source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
        read, written = (keras.layers.Embedding(11, 4)(each) for each in (source, target))
        x = keras.layers.Add()([written, keras.layers.GlobalAveragePooling1D(keepdims=True)(read)])
        x = keras.layers.Dense(11)(keras.layers.Dropout(0.3)(x))
        model = keras.Model([source, target], x)
        model.compile(
            keras.optimizers.Adam(training.transformer_schedule(4, 5), beta_2=0.98, epsilon=1e-9),
            training.SmoothedSparseCrossentropy(), weighted_metrics=[training.Perplexity()], jit_compile=False,
        )  # fmt: skip
        run = training.Run(
            folder, tf.distribute.get_strategy(), epochs=epochs, steps_per_epoch=plan.steps_per_epoch,
            batch_size=plan.tokens / plan.steps_per_epoch, identity={}, checkpoint_interval=2, epoch_ends=2,
            unit="tokens",
        )  # fmt: skip
        _, after = run.fit(model, plan.train_dataset, plan.eval_dataset(), callbacks=callbacks)
        training.average_checkpoints(model, run.checkpoints.epoch_files())
        return model.get_weights(), after, run.history

    whole, after, history = fit(tmp_path / "whole")
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["tokens_per_second"] > 0
    with pytest.raises(training.TrainingStopped):
        fit(tmp_path / "parts", Ends(plan.steps_per_epoch + 5))
    _, beyond, rows = fit(tmp_path / "parts", epochs=1)
    assert beyond["loss"] < rows[-1]["val_loss"], "of the steps after the epoch too"
    again, same, _ = fit(tmp_path / "parts")
    assert same == pytest.approx(after, rel=1e-6)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
