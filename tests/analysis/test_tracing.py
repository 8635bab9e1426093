"""Any model goes through: functional, sequential, subclassed, nested, shared; and comes out as it was."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps
from kapps import analysis
from kapps.cnn import resnet


class Block(layers.Layer):
    """A layer of layers, with a weight of its own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.dense = layers.Dense(5, name="dense")

    def call(self, x):
        return self.dense(ops.relu(x * self.scale))


class Net(keras.Model):
    """A subclassed model that loops, branches and calls one layer twice."""

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


class Foreign(layers.Layer):
    """A layer in NumPy: nothing symbolic goes through it."""

    def call(self, x):
        return np.fft.fft(x)


class Declared(Foreign):
    """The same with its cost declared."""

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
    assert scaled == [4, 5]  # each stands where it is used


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
    found = {row.name: row.macs for row in profile.rows if row.macs}
    assert found == {"middle/inner/a": 12, "middle/b": 6, "c": 2}


def test_several_inputs_and_outputs():
    first, second = keras.Input((4,), name="first"), keras.Input((6,), name="second")
    joined = layers.Concatenate()([first, second])
    outputs = {"a": layers.Dense(3)(joined), "b": layers.Dense(2)(second)}
    profile = kapps.profile(keras.Model({"first": first, "second": second}, outputs))
    assert profile.macs == 30 + 12 and profile.inputs == ((1, 4), (1, 6))
    assert sorted(profile.outputs) == [(1, 2), (1, 3)]


def test_open_lengths_are_given():
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, layers.Conv2D(4, 3)(image), name="open")
    for shape in ((9, 7, 3), [(9, 7, 3)], {"image": (9, 7, 3)}):
        assert kapps.profile(model, shape).outputs == ((1, 7, 5, 4),)
    for shape in (None, (9, None, 3)):
        with pytest.raises(ValueError, match="input_shape must give every length"):
            kapps.profile(model, shape)


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (9, 9, 3, 1)])
def test_shapes_that_a_model_does_not_take(shape):
    model = keras.Sequential([keras.Input((9, 9, 3)), layers.Conv2D(4, 3)], name="small")
    with pytest.raises(ValueError) as caught:
        kapps.profile(model, shape)
    assert "(9, 9, 3)" in str(caught.value) and "\n" not in str(caught.value)


def test_another_size_behind_a_flatten_is_refused():
    members = [keras.Input((9, 9, 3)), layers.Flatten(), layers.Dense(4, name="dense")]
    with pytest.raises(ValueError) as caught:
        kapps.profile(keras.Sequential(members), (8, 8, 3))
    assert "dense takes 243" in str(caught.value)


def test_what_is_no_model_or_no_dtype_is_refused():
    with pytest.raises(TypeError, match="profile takes a Keras model"):
        kapps.profile("resnet50")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="'float32'"):
        kapps.profile(model, dtype="float31")
    with pytest.raises(ValueError, match="positive whole number"):
        kapps.profile(model, batch=0)
    with pytest.raises(ValueError, match="give input_shape"):
        kapps.profile(Net())


def test_an_unknown_layer_is_an_error_that_says_how_to_teach_it():
    with pytest.raises(analysis.UnknownCost) as caught:
        analysis.profile(_around(Foreign(name="fourier")), (8,))
    message = str(caught.value)
    assert "fourier (Foreign)" in message and "\n" not in message
    assert "profile_cost(self, input_shapes, output_shapes)" in message
    assert "kapps.analysis.register_cost(Foreign, rule)" in message


def _around(layer):
    class Around(keras.Model):
        def call(self, x):
            return layer(x)

    return Around()


def test_a_layer_declares_its_cost_beside_its_code():
    profile = kapps.profile(_around(Declared()), (8,))
    assert (profile.macs, profile.elementwise) == (0, 7 * 8 + 1)


def test_a_cost_is_registered_for_a_class_and_its_subclasses():
    class Taught(Foreign):
        def compute_output_shape(self, shape):
            return shape

    class Heir(Taught):
        pass

    analysis.register_cost(Taught, lambda layer, given, made: analysis.Cost(macs=3 * given[0][1]))
    assert kapps.profile(_around(Heir()), (8,)).macs == 24
    analysis.register_cost(Heir, lambda layer, given, made: {"macs": 5})
    assert kapps.profile(_around(Heir()), (8,)).macs == 5
    assert kapps.profile(_around(Taught()), (8,)).macs == 24
    with pytest.raises(TypeError, match="a class and a function"):
        analysis.register_cost(Taught(), 3)


@pytest.mark.parametrize("wrong", [{"flops": 3}, 12, None])
def test_a_rule_that_gives_no_cost_is_refused(wrong):
    class Wrong(Foreign):
        def compute_output_shape(self, shape):
            return shape

        def profile_cost(self, given, made):
            return wrong

    with pytest.raises(analysis.UnknownCost):
        kapps.profile(_around(Wrong()), (8,))


def test_an_operation_without_a_rule_is_an_error():
    x = keras.Input((4, 4))
    with pytest.raises(analysis.UnknownCost, match="Cholesky"):
        kapps.profile(keras.Model(x, ops.cholesky(x)))


def test_a_subclass_with_a_call_of_its_own_is_followed():
    class Twice(layers.Dense):
        def call(self, x):
            return super().call(x) + super().call(x * 2.0)

    profile = kapps.profile(keras.Sequential([keras.Input((4,)), Twice(3)]))
    assert profile.macs == 2 * 12 and profile.parameters == 15
    assert profile.additions == 2 * 3 + 3 and profile.elementwise == 4


def test_a_subclass_without_one_costs_what_its_parent_costs():
    class Mine(layers.Dense):
        pass

    assert kapps.profile(keras.Sequential([keras.Input((4,)), Mine(3)])).macs == 12


def test_a_recurrent_layer_with_a_cell_of_ones_own():
    class Cell(layers.Layer):
        state_size = 6

        def build(self, shape):
            self.inner = layers.Dense(6, use_bias=False)

        def call(self, x, states):
            made = self.inner(ops.concatenate([x, states[0]], axis=-1))
            return made, [made]

    profile = kapps.profile(
        keras.Sequential([keras.Input((10, 3)), layers.RNN(Cell(), name="rnn")])
    )
    assert profile.macs == 10 * (3 + 6) * 6 and profile.parameters == 54
    assert {row.repeat for row in profile.rows if row.name.startswith("rnn/")} == {10}


def test_the_model_and_keras_are_left_as_they_were():
    call, symbolic = layers.Layer.__call__, keras.Operation.symbolic_call
    model = resnet.body(depths=(1, 1), input_shape=(32, 32, 3), classes=3)
    config, weights = model.get_config(), model.get_weights()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    kapps.profile(model)
    with pytest.raises(analysis.UnknownCost):
        kapps.profile(_around(Foreign()), (8,))
    assert layers.Layer.__call__ is call and keras.Operation.symbolic_call is symbolic
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert model.get_config() == config and keras.config.is_traceback_filtering_enabled()
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert model.layers[-1].output.shape == (None, 3)  # a second call would make it ambiguous


def test_other_threads_build_models_meanwhile():
    built, stop = [], threading.Event()

    def build():
        while not stop.is_set():
            x = keras.Input((4,))
            built.append(keras.Model(x, layers.Dense(2)(ops.relu(x))))

    thread = threading.Thread(target=build)
    thread.start()
    model = Net()
    try:
        for _ in range(20):
            assert kapps.profile(model, (8, 8, 4)).macs == NET[0]
    finally:
        stop.set()
        thread.join()
    assert built and all(each.output_shape == (None, 2) for each in built)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_precision_changes_nothing_but_the_memory_that_is_asked_for(policy):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, dtype=policy), layers.Dense(5, dtype=policy)]
    )
    full, half = kapps.profile(model), kapps.profile(model, dtype="float16")
    assert full.macs == half.macs == 36 * 4 * 27 + 36 * 20
    assert full.weight_bytes == 2 * half.weight_bytes == 4 * model.count_params()
    assert full.inference_bytes == 2 * half.inference_bytes


def test_parameters_that_do_not_learn():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="frozen"), layers.BatchNormalization()]
    )
    model.get_layer("frozen").trainable = False
    profile = kapps.profile(model)
    assert profile.row("frozen").non_trainable == 112 and profile.trainable == 8
    assert profile.non_trainable == 112 + 8 and profile.parameters == model.count_params()
