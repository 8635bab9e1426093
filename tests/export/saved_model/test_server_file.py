"""The file `model.tflite` of a version, read as TensorFlow Serving reads it.

tflite_session.cc makes the signature `serving_default` from the names of the file's input and output tensors, up to a
colon; it resizes an input of another size than the request's, and allocates; and it ends if warm-up requests fail.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow_serving.apis import prediction_log_pb2

import kapps
from kapps.cards import Preprocessing
from kapps.export.saved_model import _serving_config
from kapps.layers import BinaryConv2D

PIXELS = Preprocessing(size=(8, 8), crop=1.0)


class Server:
    """What the server does with a version that has `model.tflite`."""

    def __init__(self, version):
        self.interpreter = Interpreter(str(version / "model.tflite"))
        details = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.inputs, self.outputs = (
            {x["name"].partition(":")[0]: (x["index"], x["dtype"]) for x in part}
            for part in details
        )

    def predict(self, **inputs):
        """Returns the outputs of a request."""
        for name, array in inputs.items():
            index, dtype = self.inputs[name]
            assert array.dtype == dtype
            self.interpreter.resize_tensor_input(index, array.shape)
        self.interpreter.allocate_tensors()
        for name, array in inputs.items():
            self.interpreter.set_tensor(self.inputs[name][0], array)
        self.interpreter.invoke()
        return {
            name: self.interpreter.get_tensor(index) for name, (index, _) in self.outputs.items()
        }


def image_network(binary=False):
    image = keras.Input((8, 8, 3))
    convolution = BinaryConv2D if binary else keras.layers.Conv2D
    x = convolution(8, 3, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(4)(x))
    return keras.Model(image, keras.layers.Dense(7, "softmax")(x), name="net")


def token_network(unroll=True):
    tokens = keras.Input((6,), dtype="int32")
    x = keras.layers.LSTM(5, unroll=unroll)(keras.layers.Embedding(20, 4)(tokens))
    return keras.Model(tokens, keras.layers.Dense(3)(x), name="words")


def pixels(count):
    return np.random.default_rng(count).uniform(0, 255, (count, 8, 8, 3)).astype("float32")


def words(count):
    return np.random.default_rng(count).integers(1, 20, (count, 6)).astype("int32")


@pytest.mark.parametrize(
    "model, options, name, requests",
    [
        (image_network, {"preprocessing": PIXELS, "class_names": list("abcdefg")}, "image", pixels),
        pytest.param(
            lambda: image_network(binary=True), {"preprocessing": PIXELS}, "image", pixels,
            marks=pytest.mark.long,
        ),
        (token_network, {}, "tokens", words),
    ],
    ids=["image", "binary", "tokens"],
)  # fmt: skip
def test_signature_and_outputs_equal_the_saved_model(model, options, name, requests, tmp_path):
    keras.utils.set_random_seed(0)
    version = kapps.export.saved_model(model(), tmp_path, tflite=True, **options)
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    server = Server(version)
    assert list(server.inputs) == list(signature.structured_input_signature[1]) == [name]
    assert set(server.outputs) == set(signature.structured_outputs) - {"labels"}
    for batch in (1, 16, 3):
        request = {name: requests(batch)}
        outputs = server.predict(**request)
        expected = signature(**{key: tf.constant(array) for key, array in request.items()})
        for key, array in outputs.items():
            assert array.dtype == expected[key].dtype.as_numpy_dtype
            np.testing.assert_allclose(array, expected[key], atol=1e-5)
    report = kapps.export.verify(
        model(), version / "model.tflite", requests(4), preprocessing=options.get("preprocessing")
    )
    assert report.kind == "tflite"


def test_warm_up_has_only_the_signature_of_the_file(tmp_path):
    version = kapps.export.saved_model(
        image_network(), tmp_path, tflite=True, preprocessing=PIXELS, warm_up=True
    )
    names = [
        prediction_log_pb2.PredictionLog.FromString(
            record.numpy()
        ).predict_log.request.model_spec.signature_name
        for record in tf.data.TFRecordDataset(str(version / _serving_config.WARM_UP))
    ]
    assert names == ["serving_default"]


def any_size():
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, x, name="any_size")


@pytest.mark.parametrize(
    "model, words",
    [
        (any_size, "fixed sizes"),
        pytest.param(lambda: token_network(unroll=False), "unroll=True", marks=pytest.mark.long),
    ],
)
def test_networks_that_do_not_convert_raise_and_leave_nothing(model, words, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        kapps.export.saved_model(model(), tmp_path / "served", tflite=True, preprocessing=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "served").exists()
