"""TFLite files of trained networks of every family, and operations outside LiteRT's CPU delegate.

By default the smallest network of all; `--all` trains and quantises one of each family.
"""

import covering
import keras
import module_files
import pytest

import kapps
from kapps.export import runtime


@pytest.fixture(scope="module")
def delegate():
    """The benchmark, as a module."""
    return module_files.load("benchmarks/delegate.py")


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_of_a_trained_network_agree(family_name, delegate, tmp_path):
    side = max(32, kapps.card(family_name).minimum)
    model = covering.member(family_name)(input_shape=(side, side, 3), classes=10)
    accuracy, float32, int8, *_ = delegate.compare(model, 200, 1e-3, tmp_path)
    assert accuracy > 0.5  # a network with constant outputs would agree in any precision
    assert float32.failure() is None and int8.failure() is None
    assert (float32.precision, int8.precision) == ("float32", "int8")


@pytest.mark.tensorflow
def test_an_operation_that_the_delegate_lacks(tmp_path):
    """XNNPACK has no power operation, and runs the operations before and after it."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.ops.power(1 + keras.ops.relu(x), 1.7)
    outputs = keras.layers.Conv2D(4, 3)(x)
    file = kapps.export.tflite(keras.Model(image, outputs), tmp_path / "power.tflite")
    assert runtime.undelegated_operations(file) == {"POW": 1}


@pytest.mark.tensorflow
def test_the_delegate_runs_a_plain_network(tmp_path):
    image = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3, activation="relu")(image)
    file = kapps.export.tflite(keras.Model(image, outputs), tmp_path / "plain.tflite")
    assert runtime.undelegated_operations(file) == {}
