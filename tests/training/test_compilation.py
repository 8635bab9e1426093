"""What a classifier is trained on, whatever its head."""

import keras
import numpy as np
import pytest

from kapps import heads, training


@pytest.mark.parametrize(
    "head", [heads.global_average_pooling, heads.class_map_pooling, heads.per_pixel_classifier]
)
def test_the_loss_is_that_of_the_predictions(head):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, head(image, 5, "softmax"))
    trained = training.compile_classifier(model, keras.optimizers.SGD(0.1))
    draw = np.random.default_rng(0)
    x, y = (
        draw.normal(size=(6, 4, 4, 3)).astype("float32"),
        np.eye(5, dtype="float32")[[0, 1, 2] * 2],
    )
    chosen = (model.predict_on_batch(x) * y).sum(-1)
    assert len(set(chosen)) == 6
    loss = trained.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, -np.log(chosen).mean(), rtol=1e-5)
    before = [value.numpy() for value in model.weights]
    trained.fit(x, y, verbose=0)
    assert all((old != new.numpy()).any() for old, new in zip(before, model.weights, strict=True))
