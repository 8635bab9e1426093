"""Peak memory of small graphs, computed by hand."""

import keras
import pytest
from keras import layers

import kapps


def chain():
    """4 -> 10 -> 6 -> 3 units."""
    return keras.Sequential([keras.Input((4,)), layers.Dense(10), layers.Dense(6), layers.Dense(3)])


def test_inference_of_a_chain_keeps_two_tensors():
    profile = kapps.profile(chain())
    assert profile.inference_bytes == 4 * (10 + 6)  # the largest sum of two neighbours
    assert profile.weight_bytes == 4 * (50 + 66 + 21)


def test_training_of_a_chain_keeps_all_and_two_gradients():
    # All activations, 4 + 10 + 6 + 3, and the gradient of the last one, 3: 26. The gradient of 6 is added: 32. Then 3
    # and its gradient are freed, 26, and the gradient of 10 is added: 36.
    assert kapps.profile(chain()).training_bytes == 4 * 36


def test_a_residual_connection_keeps_its_input():
    x = keras.Input((4,))
    y = layers.Dense(10)(x)
    z = layers.Dense(10)(layers.Dense(8)(y))
    profile = kapps.profile(keras.Model(x, layers.Dense(2)(layers.Add()([y, z]))))
    assert profile.inference_bytes == 4 * (10 + 10 + 10)  # y, z and their sum


def test_views_take_no_memory():
    members = [keras.Input((4, 5)), layers.Flatten(), layers.Dropout(0.5), layers.Reshape((10, 2))]
    profile = kapps.profile(keras.Sequential(members))
    assert profile.inference_bytes == 4 * 20 and profile.activations == 0
    assert profile.output_bytes == 0 and profile.training_bytes == 4 * 20 + 4 * 20


def test_memory_depends_on_the_order_of_the_graph():
    """Two branches of 100 units that end in 2: the peak is lower if one branch runs after the other."""
    x = keras.Input((4,))
    narrow = [layers.Dense(2)(layers.Dense(100)(x)) for _ in range(2)]
    profile = kapps.profile(keras.Model(x, layers.Concatenate()(narrow)))
    order = [row.outputs[0][1] for row in profile.rows]
    sequential, interleaved = 4 * (4 + 100 + 2), 4 * (4 + 100 + 100)
    expected = {(100, 2, 100, 2, 4): sequential, (100, 100, 2, 2, 4): interleaved}
    assert profile.inference_bytes == pytest.approx(expected[tuple(order)], abs=4 * 2)


@pytest.mark.parametrize("dtype, item_bytes", [("float64", 8), ("bfloat16", 2), ("int8", 1)])
def test_memory_depends_on_the_dtype(dtype, item_bytes):
    profile = kapps.profile(chain(), dtype=dtype, batch=3)
    assert profile.dtype == dtype and profile.weight_bytes == item_bytes * 137
    assert profile.inference_bytes == 3 * item_bytes * 16
    first = profile.rows[0]
    assert (first.input_bytes, first.output_bytes) == (12 * item_bytes, 30 * item_bytes)


def test_only_training_keeps_every_time_step():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(100), layers.Dense(2)])
    model = keras.Sequential([keras.Input((10, 6)), layers.TimeDistributed(inner)])
    profile = kapps.profile(model)
    assert profile.inference_bytes < 4 * 300 and profile.training_bytes > 4 * 10 * 100
