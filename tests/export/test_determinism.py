"""Layers whose outputs are random or depend on earlier calls cannot be exported."""

import keras
import pytest

import kapps.export


class Noise(keras.layers.Layer):
    """Adds random noise with training off too."""

    def __init__(self, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.seed = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)


class Counter(keras.layers.Layer):
    """Has other outputs at every call, without randomness."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1)
        return x * self.calls


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Noise(name="my_noise"), r"'my_noise' \(Noise\) holds StatelessRandom"),
        (Counter(), "net gives other outputs.*second"),
    ],
)
def test_random_and_stateful_layers_raise(tmp_path, layer, words):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layer(image), name="net")
    for write in (kapps.export.saved_model, kapps.export.tflite):
        with pytest.raises(ValueError, match=words) as error:
            write(model, tmp_path / "net.tflite")
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
