"""The mean of the weights of several checkpoints."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training


def small():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)], name="small"
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


class TestAverageCheckpoints:
    def fit(self, folder, epochs, epoch_ends, interval=500):
        model = small()
        checkpoints = training.Checkpoints(
            folder, steps_per_epoch=4, interval=interval, epoch_ends=epoch_ends
        )
        step = checkpoints.restore(model)
        x, y = np.random.default_rng(0).random((2, 40, 3), "float32")
        data = tf.data.Dataset.from_tensor_slices((x, y[:, :2])).batch(10).repeat()
        weights = []
        append_weights = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: weights.append(model.get_weights())
        )
        model.fit(
            data, epochs=epochs, initial_epoch=step // 4, steps_per_epoch=4, verbose=0,
            callbacks=checkpoints.surround([append_weights]),
        )  # fmt: skip
        return model, checkpoints, weights

    def test_mean_of_the_last_epochs(self, tmp_path):
        model, checkpoints, weights = self.fit(tmp_path, 5, epoch_ends=3, interval=1)
        files = checkpoints.epoch_files()
        assert [int(path.stem[5:]) for path in files] == [12, 16, 20]
        assert len(list(tmp_path.iterdir())) == 4, "those and step 19"
        training.average_checkpoints(model, files)
        for mean, *parts in zip(model.get_weights(), *weights[-3:], strict=True):
            np.testing.assert_allclose(mean, np.mean(parts, axis=0), rtol=1e-6)
        with np.load(files[-1]) as file:
            states = [v for v in model.variables if "seed" in v.path]
            assert len(states) == 1
            index = [v is states[0] for v in model.variables].index(True)
            np.testing.assert_array_equal(states[0].numpy(), file[f"v{index}"])

    def test_a_resumed_training_keeps_the_same_epochs(self, tmp_path):
        _, whole, _ = self.fit(tmp_path / "whole", 4, epoch_ends=3)
        self.fit(tmp_path / "parts", 2, epoch_ends=3)
        _, parts, _ = self.fit(tmp_path / "parts", 4, epoch_ends=3)
        assert [path.name for path in whole.epoch_files()] == [
            path.name for path in parts.epoch_files()
        ]

    def test_errors(self, tmp_path):
        model, checkpoints, _ = self.fit(tmp_path, 1, epoch_ends=1)
        other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)], name="other")
        with pytest.raises(ValueError, match="does not fit other"):
            training.average_checkpoints(other, checkpoints.epoch_files())
        with pytest.raises(ValueError, match="no checkpoint"):
            training.average_checkpoints(model, [])
