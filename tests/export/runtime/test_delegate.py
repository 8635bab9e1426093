"""LiteRT files of trained members of every family, and what LiteRT's CPU delegate leaves out of a file.

By default the smallest network of all; `--all` trains and quantises one of each family.
"""

import importlib.util
import pathlib

import keras
import pytest
from members import shortened

import kapps
from kapps.export import runtime

BENCHMARKS = pathlib.Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def delegate():
    """The benchmark, as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        # Benchmarks switch oneDNN on, and other tests' processes would have what this one does not.
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        spec = importlib.util.spec_from_file_location("delegate", BENCHMARKS / "delegate.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.tensorflow
def test_files_of_a_trained_network_agree(family_name, delegate, tmp_path):
    side = max(32, kapps.card(family_name).minimum)
    model = shortened(getattr(kapps, family_name))(input_shape=(side, side, 3), classes=10)
    known, plain, small, *_ = delegate.examine(model, 200, 1e-3, tmp_path)
    assert known > 0.5  # that files agree says little of a network that gives one answer always
    assert plain.fault() is None and small.fault() is None
    assert (plain.precision, small.precision) == ("float32", "int8")


@pytest.mark.tensorflow
def test_what_the_delegate_cannot_run_is_left_out(tmp_path):
    """XNNPACK has no powers, and runs what stands before and behind them."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.ops.power(1 + keras.ops.relu(x), 1.7)
    ends = keras.layers.Conv2D(4, 3)(x)
    file = kapps.export.tflite(keras.Model(image, ends), tmp_path / "power.tflite")
    assert runtime.undelegated(file) == {"POW": 1}


@pytest.mark.tensorflow
def test_a_plain_network_is_run_whole(tmp_path):
    image = keras.Input((8, 8, 3))
    ends = keras.layers.Conv2D(4, 3, activation="relu")(image)
    file = kapps.export.tflite(keras.Model(image, ends), tmp_path / "plain.tflite")
    assert runtime.undelegated(file) == {}
