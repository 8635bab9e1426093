"""Each private attribute of Keras does what kapps expects, and no other module uses one."""

import ast
import pathlib

import keras
import numpy as np
import pytest

import kapps
from kapps import _keras_compat as compat


@pytest.fixture
def model():
    x = inputs = keras.Input((4,), name="inputs")
    x = keras.layers.Dense(3, name="dense")(x)
    inner = keras.Sequential([keras.Input((3,)), keras.layers.ReLU(name="inside")], name="inner")
    return keras.Model(inputs, inner(x))


def attention(**options):
    layer = keras.layers.MultiHeadAttention(2, 4, **options)
    layer.build((1, 5, 8), (1, 5, 8))
    return layer


def test_all_layers(model):
    names = [layer.name for layer in compat.all_layers(model)]
    assert model.name in names and {"dense", "inner", "inside"} <= set(names)
    assert model.name not in [layer.name for layer in compat.all_layers(model, include_self=False)]


def test_inner_layers():
    first, second, third = (keras.layers.Dense(2) for _ in range(3))
    inner = keras.Sequential([keras.Input((2,)), first, second])
    outer = keras.Sequential([keras.Input((2,)), inner, third])
    dense = [x for x in compat.inner_layers(outer) if isinstance(x, keras.layers.Dense)]
    assert dense == [first, second, third]
    assert compat.inner_layers(first) == [first]


def test_output_in():
    """A layer has calls in two models."""
    dense, inputs = keras.layers.Dense(2), [keras.Input((3,)) for _ in range(2)]
    models = [keras.Model(x, dense(x)) for x in inputs]
    for model in models:
        assert compat.output_in(model, dense) is model.output


def test_producer(model):
    assert compat.producer(model.get_layer("dense").output) is model.get_layer("dense")


def test_call_nodes(model):
    dense = model.get_layer("dense")
    (node,) = compat.call_nodes(dense)
    assert node.input_tensors == [model.input] and node.output_tensors == [dense.output]
    dense(keras.Input((4,)))
    assert [compat.has_node(model, node) for node in compat.call_nodes(dense)] == [True, False]


def test_run_through_graph(model):
    called = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return layer(*args, **kwargs)

    x = np.ones((2, 4), "float32")
    (result,) = compat.run_through_graph(model, [keras.ops.convert_to_tensor(x)], call)
    assert called == ["dense", "inner"]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(result), model.predict(x, verbose=0), 1e-6
    )


def test_masks():
    x = keras.layers.Embedding(5, 3, mask_zero=True)(keras.Input((4,), dtype="int32"))
    assert compat.get_mask(x).shape == (None, 4)
    assert compat.get_mask(keras.Input((4,))) is None
    other = keras.Input((4, 3))
    compat.set_mask(other, compat.get_mask(x))
    assert compat.get_mask(other) is compat.get_mask(x)
    mask = compat.get_mask(x)
    assert compat.first_mask([None, {"a": mask}]) is compat.first_mask(mask) is mask
    assert compat.first_mask(None) is compat.first_mask([None, None]) is None


def test_methods_of_attention():
    calls = []

    class Attention(compat.MultiHeadAttention):
        def compute_attention_mask(self, *args, **kwargs):
            calls.append("mask")
            return super().compute_attention_mask(*args, **kwargs)

        def compute_attention(self, query, key, value, attention_mask, *args, **kwargs):
            calls.append("attention")
            assert not self.has_flash_attention
            scores = self.dot_product(self.scale_query(query), key)
            scores = keras.ops.where(attention_mask[:, None], scores, -1e9)
            weights = self.drop_weights(keras.ops.softmax(scores), training=False)
            return self.combine(weights, value), weights

    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    layer, peer = Attention(2, 4), keras.layers.MultiHeadAttention(2, 4)
    result = layer(x, x, use_causal_mask=True)
    peer.build(x.shape, x.shape)
    peer.set_weights(layer.get_weights())
    assert calls == ["mask", "attention"]
    expected = peer(x, x, use_causal_mask=True)
    np.testing.assert_allclose(
        *map(keras.ops.convert_to_numpy, (result, expected)), rtol=1e-5, atol=1e-5
    )


def test_compute_attention():
    layer, x = attention(), keras.random.normal((1, 5, 8), seed=0)
    query, key, value = layer.query_dense(x), layer.key_dense(x), layer.value_dense(x)
    result = layer.output_dense(compat.compute_attention(layer, query, key, value))
    np.testing.assert_allclose(
        *map(keras.ops.convert_to_numpy, (result, layer(x, x))), rtol=1e-5, atol=1e-5
    )


def test_sliding_window():
    assert compat.sliding_window(attention()) is None
    assert compat.sliding_window(attention(sliding_window=3)) == 3


def test_without_flash_attention():
    layer, x = attention(flash_attention=True), np.ones((1, 5, 8), "float32")
    with pytest.raises(ValueError, match="flash attention"):
        layer(x, x, return_attention_scores=True)
    with compat.without_flash_attention(layer):
        _, weights = layer(x, x, return_attention_scores=True)
    assert weights.shape == (1, 2, 5, 5) and layer._flash_attention
    with compat.without_flash_attention(keras.layers.Dense(2)):
        pass


def test_has_gate():
    assert not compat.has_gate(attention())
    assert compat.has_gate(attention(use_gate=True))


@pytest.mark.tensorflow
def test_symbolic_build(model):
    builds = []
    x, y = np.ones((2, 4), "float32"), np.ones((2, 3), "float32")
    model.compile("sgd", "mse", metrics=["mae"])

    def build(iterator=None, data_batch=None):
        builds.append(iterator)
        compat.symbolic_build(model, (x, y))

    compat.replace_symbolic_build(model, build)
    model.fit(x, y, verbose=0)
    assert builds and model.optimizer.built
    compat.restore_symbolic_build(model)
    count = len(builds)
    model.evaluate(x, y, verbose=0)
    assert len(builds) == count


def test_weight_decay_inside_the_step():
    class Optimizer(compat.DecayInsideStep, keras.optimizers.Lamb):
        pass

    variable = keras.Variable([1.0], name="kernel")
    for kind, expected in ((Optimizer, 1.0), (keras.optimizers.Lamb, 0.99)):
        variable.assign([1.0])
        optimizer = kind(0.1, weight_decay=0.1)
        optimizer.apply([keras.ops.zeros(1)], [variable])
        assert float(variable.numpy()[0]) == pytest.approx(expected)


def test_optimizer_variables():
    kernel, bias = keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")
    optimizer = keras.optimizers.Lamb(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build([kernel, bias])
    assert compat.uses_weight_decay(optimizer, kernel)
    assert not compat.uses_weight_decay(optimizer, bias)
    mean, square = compat.moments(optimizer, bias)
    assert mean.shape == square.shape == (1,) and mean is not square
    assert compat.moments(optimizer, kernel)[0] is not mean


def test_is_keras_operation():
    x = keras.Input((3,))
    assert compat.is_keras_operation(type(compat.producer(x + 1)))
    assert not compat.is_keras_operation(keras.layers.Dense)


@pytest.mark.tensorflow
def test_keras_cv_attributes():
    keras_cv = pytest.importorskip("keras_cv")
    layer = keras_cv.layers.RandAugment(value_range=(0, 255), seed=0)
    assert isinstance(compat.random_choice(layer), keras_cv.layers.BaseImageAugmentationLayer)
    assert hasattr(layer, "_random_generator")
    generator = object()
    compat.set_random_generator(layer, generator)
    assert layer._random_generator is generator


def private_uses(path):
    """Returns the private attributes of other objects that a module uses: those that it does not define itself."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    names = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store) and own(node)}
    strings = [node.value for node in nodes if isinstance(node, ast.Constant)]
    uses = {node.attr for node in attributes if node.attr not in names}
    uses |= {value for value in strings if isinstance(value, str) and value in KERAS_NAMES}
    return {use for use in uses if use.startswith("_") and not use.startswith("__")}


def own(attribute):
    return isinstance(attribute.value, ast.Name) and attribute.value.id in ("self", "cls")


KERAS_NAMES = {
    name
    for kind in (
        keras.Model,
        keras.KerasTensor,
        keras.layers.MultiHeadAttention,
        keras.optimizers.Lamb,
    )
    for name in dir(kind)
    if name.startswith("_") and not name.startswith("__")
} | {"_keras_mask", "_keras_history", "_gate_dense", "_sliding_window"}
NOT_OF_KERAS = {
    "_getframe",
    "_exit",
    "_get_ops_details",
    "_SubParsersAction",
    "_actions",
    "_experimental_enable_dynamic_update_slice",
}
"""Attributes of Python, its argparse, LiteRT and the converter to TFLite."""


def test_no_other_module_uses_a_private_attribute_of_keras():
    folder = pathlib.Path(kapps.__file__).parent
    uses = {}
    for path in folder.rglob("*.py"):
        names = private_uses(path) - NOT_OF_KERAS
        if path.name != "_keras_compat.py" and (
            names or "keras.src" in path.read_text(encoding="utf-8")
        ):
            uses[str(path.relative_to(folder))] = names
    assert not uses


def test_variables_have_their_own_dtype_without_autocast():
    class Dtypes(keras.layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(2,), name="w")

        def call(self, x):
            self.inside = self.w.value.dtype
            with compat.without_autocast():
                self.without = self.w.value.dtype
            return x * self.w

    layer = Dtypes(dtype="mixed_float16")
    layer(np.ones(2, "float32"))
    assert keras.backend.standardize_dtype(layer.inside) == "float16"
    assert keras.backend.standardize_dtype(layer.without) == "float32"


def test_variables_without_values_never_get_any():
    with compat.without_values():
        layer = keras.layers.Dense(2**40)
        layer.build((None, 2**10))
    assert layer.kernel.shape == (2**10, 2**40)
    with keras.StatelessScope():  # at its end, Keras gives all waiting variables their values
        small = keras.layers.Dense(2)
        small.build((None, 3))
    assert small.kernel.numpy().shape == (3, 2)
