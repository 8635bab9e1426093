"""Memory, against hand-computed small graphs."""

import keras
import pytest
from keras import layers

import kapps


def chain():
    """4 -> 10 -> 6 -> 3 units."""
    return keras.Sequential([keras.Input((4,)), layers.Dense(10), layers.Dense(6), layers.Dense(3)])


def test_inference_of_a_chain_keeps_two_tensors():
    profile = kapps.profile(chain())
    assert profile.inference_bytes == 4 * (10 + 6)  # the largest pair of neighbours
    assert profile.weight_bytes == 4 * (50 + 66 + 21)


def test_training_of_a_chain_keeps_all_and_two_gradients():
    # All are kept: 4 + 10 + 6 + 3, and the gradient of the last, 3: 26. Back through the last layer the gradient of 6
    # comes on top: 32; then the 3 and its gradient go, 26, and that of 10 comes: 36.
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


def test_the_graphs_order_decides():
    """Two wide branches that end in few units: one after the other, never both at once."""
    x = keras.Input((4,))
    narrow = [layers.Dense(2)(layers.Dense(100)(x)) for _ in range(2)]
    profile = kapps.profile(keras.Model(x, layers.Concatenate()(narrow)))
    order = [row.outputs[0][1] for row in profile.rows]
    one_by_one, side_by_side = 4 * (4 + 100 + 2), 4 * (4 + 100 + 100)
    expected = {(100, 2, 100, 2, 4): one_by_one + 0, (100, 100, 2, 2, 4): side_by_side}
    assert profile.inference_bytes == pytest.approx(expected[tuple(order)], abs=4 * 2)


@pytest.mark.parametrize("dtype, width", [("float64", 8), ("bfloat16", 2), ("int8", 1)])
def test_memory_is_at_the_dtype_that_is_asked_for(dtype, width):
    profile = kapps.profile(chain(), dtype=dtype, batch=3)
    assert profile.dtype == dtype and profile.weight_bytes == width * 137
    assert profile.inference_bytes == 3 * width * 16
    first = profile.rows[0]
    assert (first.input_bytes, first.output_bytes) == (12 * width, 30 * width)


def test_a_sequence_keeps_every_step_for_training_alone():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(100), layers.Dense(2)])
    model = keras.Sequential([keras.Input((10, 6)), layers.TimeDistributed(inner)])
    profile = kapps.profile(model)
    assert profile.inference_bytes < 4 * 300 and profile.training_bytes > 4 * 10 * 100
