"""Maps cut or resized to the size of another map, with and without known sizes."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import (
    CropLike,
    ResizeLike,
    crop_like,
    double_like,
    resize_like,
    to_keras_layers,
)


def pair(size, new_size, function, **options):
    """Returns a model of a function of two maps."""
    inputs = [keras.Input((*size, 2)), keras.Input((*new_size, 1))]
    return keras.Model(inputs, function(*inputs, name="layer", **options))


def maps(size, new_size):
    x = np.random.default_rng(0).normal(size=(2, *size, 2)).astype("float32")
    return [x, np.zeros((2, *new_size, 1), "float32")]


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


ANY = (None, None)


def test_crop():
    x = maps((7, 8), (4, 5))
    for size, new_size in (((7, 8), (4, 5)), (ANY, ANY)):
        y = outputs(pair(size, new_size, crop_like, offset=2), x)
        np.testing.assert_array_equal(y, x[0][:, 2:6, 2:7])
    assert len(pair((4, 5), (4, 5), crop_like).layers) == 2  # the inputs
    with pytest.raises(ValueError, match="has no 7 x 8 pixels") as caught:
        pair((7, 8), (7, 8), crop_like, offset=1)
    assert "\n" not in str(caught.value)


def bilinear(x, new_size):
    """Interpolates with half-pixel centres."""
    for axis, length in zip((1, 2), new_size, strict=True):
        places = (np.arange(length) + 0.5) * x.shape[axis] / length - 0.5
        places = np.clip(places, 0, x.shape[axis] - 1)
        x = np.apply_along_axis(
            lambda row, places: np.interp(places, np.arange(len(row)), row), axis, x, places
        )
    return x


@pytest.mark.parametrize("size, new_size", [((3, 4), (6, 12)), ((3, 4), (7, 9)), ((1, 1), (5, 3))])
def test_resize_interpolates_with_half_pixel_centres(size, new_size):
    x = maps(size, new_size)
    model = pair(size, new_size, resize_like)
    for network in (model, pair(ANY, ANY, resize_like), to_keras_layers(model)):
        np.testing.assert_allclose(
            outputs(network, x), bilinear(x[0], new_size), rtol=1e-5, atol=1e-5
        )


def test_double():
    for new_size in ((8, 6), (7, 5)):
        size = tuple(-(-n // 2) for n in new_size)
        x = maps(size, new_size)
        expected = x[0].repeat(2, axis=1).repeat(2, axis=2)[:, : new_size[0], : new_size[1]]
        for model in (pair(size, new_size, double_like), pair(ANY, ANY, double_like)):
            np.testing.assert_array_equal(outputs(model, x), expected)
    with pytest.raises(ValueError, match="is not half as large"):
        pair((4, 4), (4, 4), double_like)


def test_files_and_cost(tmp_path):
    image = keras.Input((None, None, 2))
    small = keras.layers.MaxPooling2D(2, padding="same")(image)
    x = ResizeLike("nearest", name="resize")([small, image])
    model = keras.Model(image, CropLike(1, name="crop")([x, small]))
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded, x), outputs(model, x))
    profile = kapps.profile(model, (8, 8, 2))
    assert [profile.row(name).elementwise for name in ("resize", "crop")] == [0, 0]
    row = kapps.profile(pair((3, 4), (7, 9), resize_like)).row("layer")
    assert (row.elementwise, row.additions) == (4 * 7 * 9 * 2, 2 * 7 * 9 * 2)


def test_options_that_are_not_allowed_raise():
    with pytest.raises(ValueError, match="interpolation="):
        ResizeLike("cubic")
    with pytest.raises(ValueError, match="offset="):
        CropLike(-1)
