"""The loss of a task and those that layers add are reported apart, and the sum is minimised."""

import keras
import numpy as np
import pytest

from kapps import families, training


@keras.saving.register_keras_serializable("tests")
class AddsTwice(keras.layers.Layer):
    """Adds the loss 2 w in training; its output is its input."""

    adds_loss = True

    def build(self, input_shape):
        del input_shape
        self.w = self.add_weight(shape=(), initializer="ones", name="w")

    def call(self, x, training=False):
        if training:
            self.add_loss(2 * self.w)
        return x


def make_model():
    x = keras.Input((3,))
    return keras.Model(x, AddsTwice(name="adds")(keras.layers.Dense(1, trainable=False)(x)))


def test_training_reports_both_losses_and_evaluation_the_task_s():
    x, y = np.random.default_rng(0).random((2, 12, 3), "float32")
    y = y[:, :1]
    plain = make_model()
    model = training.separate_added_losses(plain)
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    expected = float(np.mean((plain.predict(x, verbose=0) - y) ** 2))
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y)).history
    assert set(history) == {"loss", "added_loss", "mae", "val_loss", "val_mae"}
    # Batches of 8 and 4 examples; w falls by 0.2 after each: 2 w = 2, 1.6, 1.2, 0.8.
    assert history["added_loss"] == pytest.approx(
        [(8 * 2 + 4 * 1.6) / 12, (8 * 1.2 + 4 * 0.8) / 12]
    )
    assert history["loss"] == pytest.approx([expected] * 2, rel=1e-5)
    assert history["val_loss"] == pytest.approx([expected] * 2, rel=1e-5)
    assert float(plain.get_layer("adds").w) == pytest.approx(1 - 4 * 0.2)


def test_only_models_with_such_layers_change():
    sizes = dict(d_model=8, ffn=8, heads=1, vocabulary=9)
    adaptive = families.universal_transformer(steps=2, halting=True, **sizes)
    separate = training.separate_added_losses(adaptive)
    assert separate is not adaptive and separate.name == adaptive.name
    assert [w.path for w in separate.weights] == [w.path for w in adaptive.weights]
    plain = families.universal_transformer(steps=2, **sizes)
    assert training.separate_added_losses(plain) is plain
