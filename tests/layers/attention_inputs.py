"""Inputs and helpers of the tests of attention layers."""

import keras
import numpy as np

M, K, P, L, H, N = 6, 8, 3, 5, 2, 7
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, M, K)).astype("float32")
QUERIES = RANDOM.normal(size=(2, 4, P)).astype("float32")
MASK = np.arange(M) < np.array([[4], [M]])


def array(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def randomise(layer):
    """Sets the weights of a built layer to random values, so that scores differ; returns them by name, in float64."""
    random = np.random.default_rng(5)
    for variable in layer.weights:
        variable.assign(random.normal(0, 0.7, variable.shape))
    return {variable.name: array(variable).astype("float64") for variable in layer.weights}


def check_file(layer, path):
    """Checks that a model of a layer computes the same after it is saved and loaded."""
    x = keras.Input((None, K))
    takes_memory = isinstance(layer, keras.layers.MultiHeadAttention) or hasattr(layer, "attend")
    model = keras.Model(x, layer(x, x) if takes_memory else layer(x))
    randomise(layer)
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert model.output_shape == loaded.output_shape == (None, None, *model(X).shape[2:])


def check_half_precision(run):
    """Checks that `run(x, mask)`, which returns outputs and weights, has no NaN in float16 with a whole row masked."""
    x = 100 * X.astype("float16")  # products of rows are larger than float16's largest number
    mask = MASK.copy()
    mask[0] = False
    y, a = run(x, mask)
    assert [keras.backend.standardize_dtype(tensor.dtype) for tensor in (y, a)] == [
        "float16",
        "float32",
    ]
    assert np.isfinite(array(y)).all() and np.isfinite(array(a)).all()
    assert not array(a)[0].any() and array(a)[1].sum() > 1
