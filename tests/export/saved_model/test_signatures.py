"""A SavedModel's signatures: names and dtypes, encoded images, class names, constant weights."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import kapps
from kapps import data
from kapps.cards import Preprocessing
from kapps.export import _saved_model_writer

PIXELS = Preprocessing(size=(24, 20), crop=0.8)
GOLDEN = pathlib.Path(__file__).parents[2] / "reference" / "signatures.json"
NAMES = ["daisy", "red rose", "tulip", "ünïcode", "five", "six"]


@pytest.fixture(scope="module")
def model():
    """A network whose outputs differ from image to image."""
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 20, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    x = keras.layers.Dense(6, "softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x, name="net")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    """The directory that a server would load."""
    folder = tmp_path_factory.mktemp("served")
    return kapps.export.saved_model(model, folder, preprocessing=PIXELS, class_names=NAMES)


def images(folder):
    """Writes images of several kinds and shapes in class folders, and returns their files."""
    generator = np.random.default_rng(0)
    files = []
    for i, (kind, height, width) in enumerate([("jpg", 40, 60), ("png", 25, 20), ("jpg", 90, 33)]):
        pixels = tf.constant(generator.integers(0, 256, (height, width, 3)), tf.uint8)
        encoded = tf.io.encode_png(pixels) if kind == "png" else tf.io.encode_jpeg(pixels)
        file = folder / "validation" / NAMES[i] / f"{i}.{kind}"
        file.parent.mkdir(parents=True)
        file.write_bytes(encoded.numpy())
        files.append(file)
    return files


@pytest.mark.long
def test_signatures_are_the_golden_ones(path, signatures):
    assert signatures(path) == json.loads(GOLDEN.read_text(encoding="utf-8"))["images"]


def test_encoded_images_are_preprocessed_as_in_the_evaluation_pipeline(path, model, tmp_path):
    files = images(tmp_path)
    source = data.open_source(None, tmp_path, "validation")
    batch = next(iter(data.eval_dataset(source, PIXELS, 3, classes=3)))[0]
    expected = model.predict(batch, verbose=0)
    serve = tf.saved_model.load(str(path)).signatures["serve_bytes"]
    outputs = serve(image_bytes=tf.constant([file.read_bytes() for file in files]))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    order = np.argsort(-expected, axis=-1)[:, :5]
    np.testing.assert_array_equal(outputs["classes"], order)
    labels = [[label.decode() for label in row] for row in outputs["labels"].numpy()]
    assert labels == [[NAMES[i] for i in row] for row in order]


@pytest.mark.long
def test_a_corrupt_image_raises(path, tmp_path):
    good = images(tmp_path)[0].read_bytes()
    serve = tf.saved_model.load(str(path)).signatures["serve_bytes"]
    for bad, words in [
        (b"rubbish", "it is not a JPEG, PNG, GIF, BMP or WebP image"),
        (good[:200], "JPEG"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            serve(image_bytes=tf.constant([good, bad]))
    assert serve(image_bytes=tf.constant([good]))["probabilities"].shape == (1, 6)


def test_each_weight_is_written_once_as_a_constant(path, model):
    """Two signatures share one graph; TensorFlow runs constants faster than variables."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [node for function in graph.library.function for node in function.node_def]
    constants = [node.attr["value"].tensor for node in [*graph.node, *nodes] if node.op == "Const"]
    arrays = [tf.make_ndarray(constant) for constant in constants if constant.dtype == tf.float32]
    for weight in model.get_weights():
        assert sum(np.array_equal(weight, array) for array in arrays) == 1, weight.shape


def test_weights_beyond_the_size_of_a_graph_stay_variables(model, tmp_path, monkeypatch):
    monkeypatch.setattr(_saved_model_writer, "LARGEST", 100)
    path = kapps.export.saved_model(model, tmp_path / "served", preprocessing=PIXELS)
    names = [name for name, _ in tf.train.list_variables(str(path / "variables" / "variables"))]
    weights = kapps.export.fold(model)[0].weights
    assert sum(name.endswith("VARIABLE_VALUE") for name in names) == len(weights)


@pytest.mark.long
def test_a_grey_model_takes_colour_images(tmp_path):
    image = keras.Input((24, 20, 1))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="grey")
    path = kapps.export.saved_model(model, tmp_path / "served", preprocessing=PIXELS)
    serve = tf.saved_model.load(str(path)).signatures["serve_bytes"]
    bytes_ = [file.read_bytes() for file in images(tmp_path)]
    assert serve(image_bytes=tf.constant(bytes_))["logits"].shape == (3, 1)


@pytest.mark.parametrize(
    "names, words", [(["a", "b"], "2 class names, and net gives 6"), (["a\nb"] * 6, "line end")]
)
def test_class_names_that_do_not_fit_raise(model, tmp_path, names, words):
    with pytest.raises(ValueError, match=words) as error:
        kapps.export.saved_model(model, tmp_path / "served", class_names=names)
    assert "\n" not in str(error.value) and not (tmp_path / "served").exists()
