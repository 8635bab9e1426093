"""The model in both formats: names, preprocessing, float32, training off, all layers and weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.core.protobuf import saved_model_pb2

import kapps.export
from kapps.cards import Preprocessing
from kapps.export import runtime
from kapps.export._determinism import check_deterministic
from kapps.export.inference_model import inference_model
from kapps.export.tflite import file_operations
from kapps.layers import GroupedConv2D

PIXELS = Preprocessing(size=(16, 16))
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3)).astype("float32")
NORMALIZED = ((IMAGES / 255 - PIXELS.mean) / PIXELS.std).astype("float32")


def network(activation="softmax", policy="float32", first=None, name="net"):
    """Conv-BN-ReLU-Dropout-GAP-Dense with random batch norm statistics."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((16, 16, 3))
        x = image if first is None else first(image)
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(x)
        x = keras.layers.BatchNormalization(name="norm")(x)
        x = keras.layers.Dropout(0.5)(keras.layers.ReLU()(x))
        x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))
        x = keras.layers.Activation(activation, dtype="float32", name="predictions")(x)
    finally:
        keras.config.set_dtype_policy(before)
    model = keras.Model(image, x, name=name)
    generator = np.random.default_rng(1)
    model.get_layer("norm").set_weights([generator.uniform(0.5, 2, 8) for _ in range(4)])
    return model


def serve(path):
    return runtime.load_saved_model(path).signatures["serving_default"]


def run_tflite(path, images):
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    return np.concatenate([next(iter(runner(image=p[None]).values())) for p in images])


@pytest.mark.parametrize(
    ("activation", "output"),
    [("softmax", "probabilities"), ("sigmoid", "probabilities"), ("linear", "logits")],
)
def test_names_in_both_signatures(tmp_path, activation, output):
    model = network(activation)
    signature = serve(kapps.export.saved_model(model, tmp_path))
    assert {k: v.shape.as_list() for k, v in signature.structured_input_signature[1].items()} == {
        "image": [None, 16, 16, 3]
    }
    assert {k: v.dtype for k, v in signature.structured_outputs.items()} == {
        output: tf.float32,
        "classes": tf.int64,
    }
    file = kapps.export.tflite(model, tmp_path / "net.tflite")
    assert Interpreter(str(file)).get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": [output]}
    }


def test_saved_model_agrees_for_any_batch_size(tmp_path):
    model = network()
    signature = serve(kapps.export.saved_model(model, tmp_path))
    expected = model.predict(IMAGES, verbose=0)
    for n in (1, 7):
        outputs = signature(image=tf.constant(IMAGES[:n]))["probabilities"]
        np.testing.assert_allclose(outputs, expected[:n], rtol=1e-5, atol=1e-5)


def test_preprocessing_is_inside_both_files(tmp_path):
    model = network()
    expected = model.predict(NORMALIZED, verbose=0)
    signature = serve(kapps.export.saved_model(model, tmp_path, preprocessing=PIXELS))
    outputs = signature(image=tf.constant(IMAGES))["probabilities"]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    file = kapps.export.tflite(model, tmp_path / "net.tflite", preprocessing=PIXELS)
    np.testing.assert_allclose(run_tflite(file, IMAGES), expected, atol=1e-6)


@pytest.mark.parametrize(
    "policy",
    ["mixed_float16", *(pytest.param(name, marks=pytest.mark.long) for name in ("mixed_bfloat16", "float16"))],
)  # fmt: skip
def test_half_precision_training_exports_as_float32(tmp_path, policy):
    half = network(policy=policy)
    half.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    half.fit(NORMALIZED, np.arange(7) % 5, epochs=1, verbose=0)
    before = [w.copy() for w in half.get_weights()]
    full = network()
    full.set_weights(half.get_weights())
    files = [
        kapps.export.tflite(m, tmp_path / f"{i}.tflite", preprocessing=PIXELS)
        for i, m in enumerate((half, full))
    ]
    outputs, expected = (run_tflite(file, IMAGES) for file in files)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_allclose(outputs, full.predict(NORMALIZED, verbose=0), atol=1e-6)
    assert half.layers[1].dtype_policy.name == policy
    assert keras.config.dtype_policy().name == "float32"
    for one, other in zip(before, half.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nested_shared_and_unregistered_layers_keep_their_weights(tmp_path):
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    image = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same", dtype="mixed_bfloat16")
    x = Twice(name="twice")(network(name="inner")(shared(shared(image))))
    model = keras.Model(image, [x, keras.layers.Dense(2, name="coarse")(x)], name="outer")
    full = keras.models.clone_model(model, clone_function=_same_in_float32)
    full.set_weights(model.get_weights())
    outputs = serve(kapps.export.saved_model(model, tmp_path))(image=tf.constant(NORMALIZED))
    expected = full.predict(NORMALIZED, verbose=0)
    assert sorted(outputs) == ["coarse", "twice"]
    np.testing.assert_allclose(outputs["twice"], expected[0], atol=1e-6)
    np.testing.assert_allclose(outputs["coarse"], expected[1], atol=1e-6)


def _same_in_float32(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return keras.layers.Conv2D.from_config(layer.get_config() | {"dtype": "float32"})
    return type(layer).from_config(layer.get_config())


def test_dictionary_outputs_and_sequential_models(tmp_path):
    image = keras.Input((16, 16, 3), name="anything")
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model({"anything": image}, {"b": 2 * x, "a": x}, name="two")
    assert sorted(serve(kapps.export.saved_model(model, tmp_path)).structured_outputs) == ["a", "b"]
    layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    signature = serve(kapps.export.saved_model(keras.Sequential(layers, name="one"), tmp_path))
    assert sorted(signature.structured_outputs) == ["classes", "probabilities"]


@pytest.mark.long
def test_dropout_inside_recurrent_cells_is_off():
    cells = [keras.layers.LSTMCell(4), keras.layers.LSTMCell(4, dropout=0.5, recurrent_dropout=0.5)]
    sequence = keras.Input((6, 3))
    x = keras.layers.Bidirectional(keras.layers.RNN(cells, return_sequences=True))(sequence)
    x = keras.layers.GRU(4, dropout=0.5)(x)
    model = keras.Model(sequence, keras.layers.Dense(2, "softmax")(x))
    network = inference_model(model)
    check_deterministic(network)  # raises for random operations
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    expected = model(x, training=False)
    np.testing.assert_allclose(network(x)["probabilities"], expected, atol=1e-6)


def test_augmentation_inside_the_model_is_off_in_the_files(tmp_path):
    model = network(first=keras.layers.RandomFlip())
    assert any(not np.array_equal(model(IMAGES), model(IMAGES)) for _ in range(20))
    expected = model.predict(IMAGES, verbose=0)
    path = kapps.export.saved_model(model, tmp_path)
    outputs = serve(path)(image=tf.constant(IMAGES))["probabilities"]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    # The graph has no random operations and no devices, except for devices in TensorFlow's own saving code.
    functions = [f for f in functions if "__inference__traced" not in f.signature.name]
    nodes = [node for function in functions for node in function.node_def]
    assert "Conv2D" in [node.op for node in nodes]
    assert not [node.op for node in nodes if "Random" in node.op or node.device]
    file = kapps.export.tflite(model, tmp_path / "net.tflite")
    np.testing.assert_allclose(run_tflite(file, IMAGES), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [keras.layers.Conv2D, GroupedConv2D])
def test_grouped_convolution_stays_one_operation(tmp_path, kind):
    image = keras.Input((8, 8, 8))
    x = keras.layers.GlobalAveragePooling2D()(kind(8, 3, groups=4, use_bias=False)(image))
    model = keras.Model(image, x, name="grouped")
    file = kapps.export.tflite(model, tmp_path / "grouped.tflite")
    assert file_operations(file) == ["CONV_2D", "MEAN"]
    images = np.random.default_rng(0).random((3, 8, 8, 8), "float32")
    np.testing.assert_allclose(run_tflite(file, images), model(images), atol=1e-6)


def test_the_state_of_a_normalization_layer_is_exported(tmp_path):
    images = np.random.default_rng(0).normal(5, 3, (4, 6, 6, 3)).astype("float32")
    norm = keras.layers.Normalization()
    norm.adapt(images)
    image = keras.Input((6, 6, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(norm(image)))
    model = keras.Model(image, features, name="normalizing")
    path = kapps.export.tflite(model, tmp_path / "net.tflite")
    report = kapps.export.verify(model, path, images)
    assert report.largest_difference < 1e-5
