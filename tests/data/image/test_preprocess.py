"""`kapps.preprocess` gives the images of the evaluation pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kapps
from kapps import data
from kapps.cards import IMAGENET

pytestmark = pytest.mark.tensorflow
SIZES = {"a": (50, 80), "b": (120, 60)}


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), "uint8") for size in SIZES.values()]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Class folders with one PNG file each."""
    folder = tmp_path_factory.mktemp("images")
    for name, image in zip(SIZES, images, strict=True):
        path = folder / "test" / name / "image.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    return folder


@pytest.mark.parametrize("size", [(32, 32), (72, 96)])
def test_equals_the_evaluation_pipeline(size, images, folder):
    preprocessing = IMAGENET.at(size)
    source = data.open_source(None, folder, split="test")
    expected = data.take_images(data.eval_dataset(source, preprocessing, 2, classes=2), 2)
    result = kapps.preprocess(images, preprocessing)
    assert result.dtype == np.float32 and result.shape == (2, *size, 3)
    np.testing.assert_array_equal(result, expected)
    paths = [folder / "test" / name / "image.png" for name in SIZES]
    np.testing.assert_array_equal(kapps.preprocess(paths, preprocessing), expected)
    np.testing.assert_array_equal(kapps.preprocess(str(paths[0]), preprocessing), expected[:1])


def test_forms_of_arrays(images):
    one = kapps.preprocess(images[0], "resnet20_cifar")
    assert one.shape == (1, 32, 32, 3)
    batch = kapps.preprocess(images[0][None].astype("float64"), "resnet20_cifar")
    np.testing.assert_array_equal(batch, one)
    grey = kapps.preprocess(images[0][..., :1], IMAGENET.at((32, 32)))
    pixels = (grey * IMAGENET.std + IMAGENET.mean) * 255
    np.testing.assert_allclose(pixels, pixels[..., :1].repeat(3, -1), atol=1e-3)


def test_a_model_sets_size_and_channels(images):
    model = kapps.resnet20_cifar(input_shape=(24, 40, 1), classes=3)
    batch = kapps.preprocess(images, model)
    assert batch.shape == (2, 24, 40, 1) and model(batch).shape == (2, 3)
    open_size = kapps.resnet20_cifar(input_shape=(None, None, 3))
    assert kapps.preprocess(images, open_size).shape == (2, 32, 32, 3)
    assert kapps.preprocess(images, open_size, size=(40, 48)).shape == (2, 40, 48, 3)


def test_misspelt_weights_raise(images):
    with pytest.raises(ValueError) as caught:
        kapps.preprocess(images[0], "mobilenet_v2", weights="imagnet")
    assert "imagnet" in str(caught.value) and "Did you mean imagenet" in str(caught.value)


def test_weights_set_the_preprocessing(images):
    own = kapps.preprocess(images[0], "mobilenet_v2")
    published = kapps.preprocess(images[0], "mobilenet_v2", weights="imagenet")
    card = kapps.card("mobilenet_v2", weights="imagenet")
    np.testing.assert_array_equal(published, kapps.preprocess(images[0], card))
    assert own.shape == published.shape


@pytest.mark.parametrize(
    "images, model, words",
    [
        (np.zeros((8, 8)), "resnet18", "(8, 8)"),
        (np.zeros((8, 8, 2)), "resnet18", "(8, 8, 2)"),
        ([], "resnet18", "no images"),
        ("none.jpg", "resnet18", "none.jpg cannot be read"),
        (__file__, "resnet18", "cannot be decoded"),
        (np.zeros((8, 8, 3)), "resnet19", "Did you mean resnet"),
        (np.zeros((8, 8, 3)), "zaremba_small", "tokens"),
    ],
)
def test_errors(images, model, words):
    if model == "zaremba_small":
        model = kapps.list_models(kind="tokens")[0]
    with pytest.raises(ValueError) as caught:
        kapps.preprocess(images, model)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_predictions_of_a_model_by_a_builder(images):
    keras.utils.set_random_seed(0)
    model = kapps.resnet20_cifar()
    scores = model.predict(kapps.preprocess(images, model), verbose=0)
    rows = kapps.decode_predictions(scores, top=1, class_names=[str(i) for i in range(10)])
    assert [row[0][0] for row in rows] == list(scores.argmax(axis=1))
