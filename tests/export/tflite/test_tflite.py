"""TFLite files of a trained network in every precision, their metadata, and a converter that crashes."""

import os
import signal
import sys
import time
import zipfile
from functools import partial
from unittest import mock

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import kapps
from kapps import data
from kapps.cards import Preprocessing
from kapps.export.tflite import CALIBRATED, PRECISIONS, _converter, file_precision
from kapps.layers import conv_bn, inverted_residual, squeeze_excite

PIXELS = Preprocessing(size=(16, 16), crop=1.0, mean=(0.5,), std=(0.5,))
EXPECTED = {  # the largest size relative to the float32 weights, the lowest top-1 agreement
    "float32": (1.0, 1.0),
    "float16": (0.6, 0.99),
    "dynamic": (0.4, 0.98),
    "int8": (0.4, 0.98),
    "int16": (0.4, 0.98),
}


@pytest.fixture(scope="module")
def digits():
    """The digits of kapps from the evaluation pipeline: {split: (pixels, labels)}."""
    arrays = {}
    for split in ("train", "validation"):
        source = data.open_source("digits", None, split)
        batches = data.eval_dataset(source, PIXELS, 2000, classes=10, channels=1)
        images, labels = next(iter(batches))
        arrays[split] = (images.numpy() * 0.5 + 0.5) * 255, labels.numpy()
    return arrays


@pytest.fixture(scope="module")
def model(digits):
    """A small network, trained to classify digits."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((16, 16, 1))
    for filters in (32, 64, 64):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x, name="digits_net")
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    pixels, labels = digits["train"]
    model.fit(pixels / 127.5 - 1, labels, 32, epochs=6, verbose=0)
    pixels, labels = digits["validation"]
    assert model.evaluate(pixels / 127.5 - 1, labels, verbose=0)[1] > 0.9
    return model


@pytest.mark.parametrize(
    "precision",
    [
        x if x in ("float32", "int8") else pytest.param(x, marks=pytest.mark.long)
        for x in PRECISIONS
    ],
)
def test_every_precision_agrees_with_the_trained_network(model, digits, precision, tmp_path):
    calibration = digits["train"][0][:200] if precision in CALIBRATED else None
    options = {"preprocessing": PIXELS, "precision": precision, "calibration": calibration}
    file = kapps.export.tflite(model, tmp_path / "net.tflite", **options)
    pixels = digits["validation"][0]
    report = kapps.export.verify(model, file, pixels, preprocessing=PIXELS, timed=True)
    fraction, agreement = EXPECTED[precision]
    parameters = 4 * sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert report.precision == precision == file_precision(file)
    assert report.bytes < fraction * parameters + 14_000
    assert report.top1_agreement >= agreement and report.failure() is None
    assert set(report.milliseconds) == {1, 2} and min(report.milliseconds.values()) > 0
    if precision != "float32":  # the difference shows that the file was quantised
        assert report.largest_difference > 1e-6


@pytest.mark.long
def test_hard_swish_and_se_blocks_in_int8(digits, tmp_path):
    """Blocks of MobileNet V3: hard swish is one operation, and the trained network agrees with its file."""
    keras.utils.set_random_seed(0)
    squeeze = partial(squeeze_excite, inner=16, gate="hard_sigmoid")
    image = keras.Input((16, 16, 1))
    x = conv_bn(image, 32, 3, strides=2, activation="hard_silu", name="stem_conv")
    for strides, name in ((2, "block1"), (1, "block2")):
        x = inverted_residual(
            x, 32, expanded=64, strides=strides, activation="hard_silu", squeeze=squeeze, name=name
        )
    x = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x, name="digits_net")
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    pixels, labels = digits["train"]
    model.fit(pixels / 127.5 - 1, labels, 32, epochs=12, verbose=0)
    assert kapps.export.fold(model)[1] == {}
    for precision, calibration in (("float32", None), ("int8", pixels[:200])):
        options = {"precision": precision, "calibration": calibration}
        file = kapps.export.tflite(
            model, tmp_path / f"{precision}.tflite", preprocessing=PIXELS, **options
        )
        operations = [op["op_name"] for op in Interpreter(str(file))._get_ops_details()]
        assert operations.count("HARD_SWISH") == 5
        report = kapps.export.verify(model, file, digits["validation"][0], preprocessing=PIXELS)
        assert report.failure() is None and report.top1_agreement >= EXPECTED[precision][1]


def test_a_calibration_with_other_images_fails_verification(model, digits, tmp_path):
    dark = digits["train"][0][:50] * 0.02
    options = {"preprocessing": PIXELS, "precision": "int8", "calibration": dark}
    file = kapps.export.tflite(model, tmp_path / "net.tflite", **options)
    pixels = digits["validation"][0]
    failure = kapps.export.verify(model, file, pixels, preprocessing=PIXELS).failure()
    assert "(int8)" in failure and "top-1 agreement" in failure and "98.0%" in failure


def test_calibration_images_are_raw_pixels(model, tmp_path):
    normalised = np.random.default_rng(0).uniform(-1, 1, (9, 16, 16, 1))
    options = {"precision": "int8", "calibration": normalised, "preprocessing": PIXELS}
    with pytest.raises(ValueError, match=r"raw pixels in \[0, 255\].*preprocessing=False"):
        kapps.export.tflite(model, tmp_path / "net.tflite", **options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"precision": "int4"}, "precision.*float32, float16.*'int4'.*int8"),
        ({"precision": "int8"}, "int8.* needs calibration"),
        ({"precision": "float16", "calibration": np.zeros((1, 16, 16, 1))}, "float16.* takes no calibration"),
        ({"precision": "int8", "calibration": np.zeros((9, 8, 8, 1))}, r"\[9, 8, 8, 1\].*16, 16, 1"),
        ({"precision": "int8", "calibration": np.zeros((9, 16, 16, 1)), "batch_size": 2}, "batch_size=1"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other(model, tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as error:
        kapps.export.tflite(model, tmp_path / "net.tflite", **options)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_after_a_crash_of_the_converter_the_export_continues(model, tmp_path):
    kapps.export.tflite(model, tmp_path / "first.tflite").unlink()
    process = _converter.WORKER.process
    os.kill(process.pid, signal.SIGSEGV)
    while process.poll() is None:
        time.sleep(0.01)
    with pytest.warns(UserWarning, match="crashed.*SIGSEGV"):
        path = kapps.export.tflite(model, tmp_path / "net.tflite")
    assert path.stat().st_size > 10_000
    with mock.patch.object(
        _converter.WORKER, "command", [sys.executable, "-c", "import os; os.abort()"]
    ):
        _converter.WORKER.close()
        with pytest.raises(ValueError, match=r"digits_net.*crashed \(signal SIGABRT") as error:
            kapps.export.tflite(model, tmp_path / "other.tflite")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == [path]
    assert kapps.export.tflite(model, tmp_path / "other.tflite").stat().st_size > 10_000


def test_metadata_has_the_fields_of_the_schema(model, digits, tmp_path):
    names = [f"digit {n}" for n in range(10)]
    options = {"preprocessing": PIXELS, "class_names": names}
    file = kapps.export.tflite(model, tmp_path / "net.tflite", **options)
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode().splitlines() == names
    packed = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    (entry,) = [buffer for buffer in packed.metadata if buffer.name == b"TFLITE_METADATA"]
    root = bytes(packed.buffers[entry.buffer].data)
    assert root[4:8] == b"M001"

    def text(table, slot):
        return table.String(table.Pos + table.Offset(4 + 2 * slot)).decode()

    def inner(table, slot, index=None):
        at = table.Offset(4 + 2 * slot)
        at = table.Pos + at if index is None else table.Vector(at) + 4 * index
        return flatbuffers.table.Table(table.Bytes, table.Indirect(at))

    def floats(table, slot):
        kind, at = flatbuffers.number_types.Float32Flags, table.Offset(4 + 2 * slot)
        return table.GetVectorAsNumpy(kind, at).tolist()

    field = flatbuffers.table.Table(root, int.from_bytes(root[:4], "little"))
    assert text(field, 0) == "digits_net"
    graph = inner(field, 3, 0)
    inputs, outputs = inner(graph, 2, 0), inner(graph, 3, 0)
    assert (text(inputs, 0), text(outputs, 0)) == ("image", "probabilities")
    assert floats(inner(inputs, 5), 0) == [255.0] and floats(inner(inputs, 5), 1) == [0.0]
    assert text(inner(outputs, 6, 0), 0) == "labels.txt"
    pixels = digits["validation"][0][:20]
    assert kapps.export.verify(model, file, pixels, preprocessing=PIXELS).failure() is None


@pytest.mark.long
def test_activations_that_are_always_zero_have_a_range_in_int8(tmp_path):
    """XNNPACK did not run a file whose ReLU was zero for all calibration examples."""
    image = x = keras.Input((16, 16, 3))
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    for units, activation, bias in ((4, "relu", -9.0), (8, "sigmoid", 0.3)):
        initializer = keras.initializers.Constant(bias)
        y = keras.layers.Conv2D(units, 1, activation=activation, bias_initializer=initializer)(y)
    x = keras.layers.Multiply()([keras.layers.Conv2D(8, 3)(x), y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(x))
    images = np.random.default_rng(0).normal(size=(32, 16, 16, 3)).astype("float32")
    path = tmp_path / "model.tflite"
    kapps.export.tflite(
        model, path, precision="int8", calibration=images, preprocessing=False, verbose=0
    )
    report = kapps.export.verify(model, path, images, preprocessing=False, verbose=0)
    assert report.largest_difference < 0.01


def test_a_loop_writes_its_steps_into_one_array(tmp_path):
    """Arrays of unknown size in a loop make LiteRT slower, and with XNNPACK some later calls are wrong."""
    x = keras.Input((None, 3))
    cells = [keras.layers.LSTMCell(4), keras.layers.LSTMCell(4)]
    y = keras.layers.Bidirectional(keras.layers.RNN(cells, return_sequences=True))(x)
    network = keras.Model(x, y, name="two_ways")
    path = kapps.export.tflite(network, tmp_path / "net.tflite", length=5)
    file = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    operations = [
        names[file.operatorCodes[operator.opcodeIndex].builtinCode]
        for graph in file.subgraphs
        for operator in graph.operators
    ]
    assert operations.count("WHILE") == operations.count("DYNAMIC_UPDATE_SLICE") == 2
    assert "SLICE" not in operations
    inputs = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    assert kapps.export.verify(network, path, inputs).largest_difference < 1e-5
