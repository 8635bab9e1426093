"""Profiles of functional, sequential, subclassed and nested models; the model does not change."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps
from kapps import analysis
from kapps.cnn import resnet


class Block(layers.Layer):
    """A layer with an inner layer and a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.dense = layers.Dense(5, name="dense")

    def call(self, x):
        return self.dense(ops.relu(x * self.scale))


class Net(keras.Model):
    """A subclassed model with a loop and a layer that is called twice."""

    def __init__(self):
        super().__init__(name="net")
        self.conv = layers.Conv2D(4, 3, padding="same", name="conv")
        self.blocks = [Block(name=f"block{i}") for i in (1, 2)]
        self.pool = layers.GlobalAveragePooling2D(name="pool")

    def call(self, x, training=None):
        x = self.conv(self.conv(x))
        x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return x


class NumpyLayer(layers.Layer):
    """A layer whose call cannot be followed on symbolic tensors."""

    def call(self, x):
        return np.fft.fft(x)


class Declared(NumpyLayer):
    """The same layer with a declared cost."""

    def compute_output_shape(self, shape):
        return shape

    def profile_cost(self, input_shapes, output_shapes):
        return {"elementwise": 7 * input_shapes[0][1] + output_shapes[0][0]}


# 8x8x4: the convolution twice on 4 channels; then 4 to 5, 5 to 5
NET = (2 * 64 * 4 * 36 + 4 * 5 + 5 * 5, (4 * 36 + 4) + (4 + 25) + (5 + 30))


@pytest.mark.parametrize("built", [False, True])
def test_subclassed_model(built):
    model = Net()
    if built:
        model(np.zeros((2, 8, 8, 4), "float32"))
    profile = kapps.profile(model, None if built else (8, 8, 4))
    assert (profile.macs, profile.parameters) == NET and profile.parameters == model.count_params()
    names = [row.name for row in profile.rows]
    assert names[:3] == ["conv", "conv", "pool"] and "block2/dense" in names
    scaled = [row.parameters for row in profile.rows if row.kind == "Multiply"]
    assert scaled == [4, 5]  # the weight counts in the row that uses it


def test_a_layer_called_twice_counts_twice_and_its_parameters_once():
    image = keras.Input((8, 8, 4))
    conv = layers.Conv2D(4, 3, padding="same")
    profile = kapps.profile(keras.Model(image, conv(conv(image))))
    assert [row.macs for row in profile.rows] == [64 * 144, 64 * 144]
    assert [row.parameters for row in profile.rows] == [148, 0]


def test_nested_models_are_expanded():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a")], name="inner")
    middle = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2, name="b")], name="middle")
    x = keras.Input((4,))
    profile = kapps.profile(keras.Model(x, layers.Dense(1, name="c")(middle(x))))
    macs = {row.name: row.macs for row in profile.rows if row.macs}
    assert macs == {"middle/inner/a": 12, "middle/b": 6, "c": 2}


def test_several_inputs_and_outputs():
    first, second = keras.Input((4,), name="first"), keras.Input((6,), name="second")
    joined = layers.Concatenate()([first, second])
    outputs = {"a": layers.Dense(3)(joined), "b": layers.Dense(2)(second)}
    profile = kapps.profile(keras.Model({"first": first, "second": second}, outputs))
    assert profile.macs == 30 + 12 and profile.inputs == ((1, 4), (1, 6))
    assert sorted(profile.outputs) == [(1, 2), (1, 3)]


def test_unknown_lengths_come_from_input_shape():
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, layers.Conv2D(4, 3)(image), name="open")
    for shape in ((9, 7, 3), [(9, 7, 3)], {"image": (9, 7, 3)}):
        assert kapps.profile(model, shape).outputs == ((1, 7, 5, 4),)
    for shape in (None, (9, None, 3)):
        with pytest.raises(ValueError, match="input_shape"):
            kapps.profile(model, shape)


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (9, 9, 3, 1)])
def test_impossible_input_shapes_are_errors(shape):
    model = keras.Sequential([keras.Input((9, 9, 3)), layers.Conv2D(4, 3)], name="small")
    with pytest.raises(ValueError) as error:
        kapps.profile(model, shape)
    assert "(9, 9, 3)" in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_length_for_a_dense_layer_is_an_error():
    members = [keras.Input((9, 9, 3)), layers.Flatten(), layers.Dense(4, name="dense")]
    with pytest.raises(ValueError) as error:
        kapps.profile(keras.Sequential(members), (8, 8, 3))
    assert "dense" in str(error.value) and "243" in str(error.value)


def test_wrong_arguments_are_errors():
    with pytest.raises(TypeError, match="str"):
        kapps.profile("resnet50")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"'float32'.*'float31'"):
        kapps.profile(model, dtype="float31")
    with pytest.raises(ValueError, match=r"batch.*0"):
        kapps.profile(model, batch=0)
    with pytest.raises(ValueError, match="input_shape"):
        kapps.profile(Net())


def test_the_error_for_an_unknown_layer_says_how_to_add_its_cost():
    with pytest.raises(analysis.UnknownCostError) as error:
        analysis.profile(_model_with(NumpyLayer(name="fourier")), (8,))
    message = str(error.value)
    assert "fourier (NumpyLayer)" in message and "\n" not in message
    assert "profile_cost(self, input_shapes, output_shapes)" in message
    assert "kapps.analysis.register_cost(NumpyLayer, rule)" in message


def _model_with(layer):
    class Wrapper(keras.Model):
        def call(self, x):
            return layer(x)

    return Wrapper()


def test_a_layer_can_declare_its_cost():
    profile = kapps.profile(_model_with(Declared()), (8,))
    assert (profile.macs, profile.elementwise) == (0, 7 * 8 + 1)


def test_a_cost_is_registered_for_a_class_and_its_subclasses():
    class Registered(NumpyLayer):
        def compute_output_shape(self, shape):
            return shape

    class Subclass(Registered):
        pass

    def rule(layer, inputs, outputs):
        return analysis.Cost(macs=3 * inputs[0][1])

    analysis.register_cost(Registered, rule)
    assert kapps.profile(_model_with(Subclass()), (8,)).macs == 24
    analysis.register_cost(Subclass, lambda layer, inputs, outputs: {"macs": 5})
    assert kapps.profile(_model_with(Subclass()), (8,)).macs == 5
    assert kapps.profile(_model_with(Registered()), (8,)).macs == 24
    with pytest.raises(TypeError, match="register_cost"):
        analysis.register_cost(Registered(), 3)


@pytest.mark.parametrize("cost", [{"flops": 3}, 12, None])
def test_a_rule_that_does_not_return_a_cost_is_an_error(cost):
    class Wrong(NumpyLayer):
        def compute_output_shape(self, shape):
            return shape

        def profile_cost(self, inputs, outputs):
            return cost

    with pytest.raises(analysis.UnknownCostError):
        kapps.profile(_model_with(Wrong()), (8,))


def test_an_operation_without_a_rule_is_an_error():
    x = keras.Input((4, 4))
    with pytest.raises(analysis.UnknownCostError, match="Cholesky"):
        kapps.profile(keras.Model(x, ops.cholesky(x)))


def test_a_subclass_with_its_own_call_is_followed():
    class Twice(layers.Dense):
        def call(self, x):
            return super().call(x) + super().call(x * 2.0)

    profile = kapps.profile(keras.Sequential([keras.Input((4,)), Twice(3)]))
    assert profile.macs == 2 * 12 and profile.parameters == 15
    assert profile.additions == 2 * 3 + 3 and profile.elementwise == 4


def test_a_subclass_without_its_own_call_has_the_cost_of_its_parent():
    class Subclass(layers.Dense):
        pass

    assert kapps.profile(keras.Sequential([keras.Input((4,)), Subclass(3)])).macs == 12


def test_a_recurrent_layer_with_a_custom_cell():
    class Cell(layers.Layer):
        state_size = 6

        def build(self, shape):
            self.inner = layers.Dense(6, use_bias=False)

        def call(self, x, states):
            state = self.inner(ops.concatenate([x, states[0]], axis=-1))
            return state, [state]

    profile = kapps.profile(
        keras.Sequential([keras.Input((10, 3)), layers.RNN(Cell(), name="rnn")])
    )
    assert profile.macs == 10 * (3 + 6) * 6 and profile.parameters == 54
    assert {row.repeat for row in profile.rows if row.name.startswith("rnn/")} == {10}


def test_the_model_and_keras_do_not_change():
    call, symbolic = layers.Layer.__call__, keras.Operation.symbolic_call
    model = resnet.body(depths=(1, 1), input_shape=(32, 32, 3), classes=3)
    config, weights = model.get_config(), model.get_weights()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    kapps.profile(model)
    with pytest.raises(analysis.UnknownCostError):
        kapps.profile(_model_with(NumpyLayer()), (8,))
    assert layers.Layer.__call__ is call and keras.Operation.symbolic_call is symbolic
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert model.get_config() == config and keras.config.is_traceback_filtering_enabled()
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert model.layers[-1].output.shape == (
        None,
        3,
    )  # raises an error if the layer was called twice


def test_other_threads_can_build_models_during_a_trace():
    models, stop = [], threading.Event()

    def build():
        while not stop.is_set():
            x = keras.Input((4,))
            models.append(keras.Model(x, layers.Dense(2)(ops.relu(x))))

    thread = threading.Thread(target=build)
    thread.start()
    net = Net()
    try:
        for _ in range(20):
            assert kapps.profile(net, (8, 8, 4)).macs == NET[0]
    finally:
        stop.set()
        thread.join()
    assert models and all(model.output_shape == (None, 2) for model in models)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_memory_depends_on_the_dtype_argument_and_not_on_the_policy(policy):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, dtype=policy), layers.Dense(5, dtype=policy)]
    )
    full, half = kapps.profile(model), kapps.profile(model, dtype="float16")
    assert full.macs == half.macs == 36 * 4 * 27 + 36 * 20
    assert full.weight_bytes == 2 * half.weight_bytes == 4 * model.count_params()
    assert full.inference_bytes == 2 * half.inference_bytes


def test_non_trainable_parameters():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="frozen"), layers.BatchNormalization()]
    )
    model.get_layer("frozen").trainable = False
    profile = kapps.profile(model)
    assert profile.row("frozen").non_trainable == 112 and profile.trainable == 8
    assert profile.non_trainable == 112 + 8 and profile.parameters == model.count_params()
