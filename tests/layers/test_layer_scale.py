"""LayerScale: a learned number for each channel."""

import keras
import numpy as np

from kapps.layers import LayerScale, to_keras_layers


def test_multiplies_each_channel(tmp_path):
    image = keras.Input((4, 5, 3))
    model = keras.Model(image, LayerScale(0.25, name="scale")(image))
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), 0.25 * x)
    model.get_layer("scale").scale.assign([1, 2, 3])
    expected = x * np.array([1, 2, 3], "float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    for copy in (keras.saving.load_model(tmp_path / "model.keras"), to_keras_layers(model)):
        np.testing.assert_allclose(copy.predict(x, verbose=0), expected, rtol=1e-6)
