"""Wrong options of builders, by their kind, and names of layers that begin with the model's name."""

import keras
import numpy as np
import pytest

import kapps
from kapps.builders._weight_limit import limit_weights
from kapps.weights.names import resnet_cifar

SMALL = {"input_shape": (32, 32, 3), "classes": 2}
WRONG = {
    "depths": [(), (0,), (-1, 2), (1.5, 2), "22", 3, (2, None), (2, 10**12), ((2,), 2), (True, 2)],
    "groups": [0, -1, 2.5, "2", True, None, 10**12, float("nan")],
    "block": ["basic", None, 3],
    "stride_in": [3, None, "2x2"],
    "se": [-1, 0.5, None, "16"],
}


@pytest.mark.parametrize("option, value", [(key, x) for key in WRONG for x in WRONG[key]])
def test_a_wrong_option_is_one_line(option, value):
    options = {"depths": (1, 1), **SMALL, option: value}
    with pytest.raises(ValueError) as error:
        kapps.families.resnet(**options)
    message = str(error.value)
    assert option in message and "\n" not in message and len(message) < 400


ARGUMENTS = {
    "include_top": [1, "no", None], "portable": ["yes", 2], "classes": [0, -1, 2.0, True, 10**12, "10"],
    "input_shape": [(), (32, 32), (32, 32, 0), (32.0, 32, 3), "32x32", 32, (-32, 32, 3)],
    "classifier_activation": ["sofmax", 3, []], "name": ["a/b", "..", "", "a\0b", "/a", 3, "x" * 300, "nul", " "],
    "pooling": ["average", 3],
}  # fmt: skip


@pytest.mark.parametrize("argument, value", [(key, x) for key in ARGUMENTS for x in ARGUMENTS[key]])
def test_a_wrong_argument_is_one_line(argument, value):
    with pytest.raises(ValueError) as error:
        kapps.resnet20_cifar(**{argument: value})
    assert argument in str(error.value) and "\n" not in str(error.value)


def test_weights_that_do_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr("kapps.builders._weight_limit.available_memory", lambda: 2**16)
    with pytest.raises(ValueError, match="GiB of memory are available"):
        kapps.resnet20_cifar()
    with limit_weights("outer"), pytest.raises(ValueError, match="outer"):
        keras.layers.Dense(2**10).build((None, 2**10))
    keras.layers.Dense(2**10).build((None, 2**10))  # no limit outside


@pytest.mark.long
def test_layers_begin_with_the_models_name(tmp_path):
    plain = kapps.resnet20_cifar(input_shape=(8, 8, 3))
    left = kapps.resnet20_cifar(input_shape=(8, 8, 3), name="left")
    names = [layer.name for layer in plain.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert [f"left_{name}" for name in names] == [layer.name for layer in left.layers][1:]
    assert [w.path for w in left.weights] == [f"left_{w.path}" for w in plain.weights]
    assert list(kapps.pyramid_outputs(left)) == list(kapps.pyramid_outputs(plain))
    levels = [[row.level for row in kapps.profile(model).rows] for model in (plain, left)]
    assert levels[0] == levels[1]
    states = [kapps.weights.to_torch(model, resnet_cifar.akamaster) for model in (plain, left)]
    assert states[0].keys() == states[1].keys()
    # Weights of either load into the other, by name.
    image = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    for model, name in ((plain, "right"), (left, "resnet20_cifar"), (left, "left")):
        model.save_weights(tmp_path / "a.weights.h5")
        copy = kapps.resnet20_cifar(
            input_shape=(8, 8, 3), weights=tmp_path / "a.weights.h5", name=name
        )
        np.testing.assert_array_equal(copy(image), model(image))


def test_sequence_networks_begin_with_their_name_too():
    model = kapps.families.rnn_lm(vocabulary=8, units=(4,), name="left")
    assert all(layer.name.startswith("left_") for layer in model.layers[1:])
    assert kapps.generate(model, [1], 2, temperature=0, seed=0).shape == (1, 2)
