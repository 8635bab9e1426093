"""The fast recurrent layers compared with Keras's: values, states, gradients, files."""

import keras
import numpy as np
import pytest

from kapps import to_keras_layers, why_not_cudnn
from kapps.layers import FastGRU, FastLSTM, FastSimpleRNN, fast_recurrent

FORMS = {
    FastLSTM: (keras.layers.LSTM, 2),
    FastGRU: (keras.layers.GRU, 1),
    FastSimpleRNN: (keras.layers.SimpleRNN, 1),
}
"""Keras's layer and its number of states."""
BATCH, STEPS, FEATURES, UNITS = 4, 3, 3, 5
MASK = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
STATES = RANDOM.normal(size=(2, BATCH, UNITS)).astype("float32")


@pytest.fixture(params=FORMS, ids=lambda form: form.__qualname__)
def form(request):
    return request.param


def built(layer_class, weights=None, **options):
    layer = layer_class(UNITS, bias_initializer="uniform", return_state=True, **options)
    layer.build((BATCH, STEPS, FEATURES))
    if weights is not None:
        layer.set_weights(weights)
    return layer


def results(layer, mask=None, wrap=lambda function: function):
    """Returns outputs, states, and the gradients of inputs, states and weights of a sum of all outputs."""
    import tensorflow as tf

    x = tf.constant(X, layer.compute_dtype)
    states = [tf.constant(state, layer.compute_dtype) for state in STATES[: len(layer.state_size)]]

    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=mask, training=True)
            loss = sum(
                tf.reduce_sum(tf.sin((i + 1) * tf.cast(y, "float32")))
                for i, y in enumerate(outputs)
            )
        weights = [weight.value for weight in layer.trainable_variables]
        return [*outputs, *tape.gradient(loss, [x, *states, *weights])]

    return [tf.cast(value, "float64").numpy() for value in wrap(compute)(x)]


def compare(form, within=1e-6, mask=None, wrap=lambda function: function, **options):
    """Compares a layer with Keras's, relative to the largest value of each tensor."""
    ours = built(form, **options)
    theirs = built(FORMS[form][0], ours.get_weights(), **options)
    assert ours.has_fast_loop()
    for first, second in zip(results(ours, mask, wrap), results(theirs, mask, wrap), strict=True):
        assert first.shape == second.shape
        np.testing.assert_allclose(first, second, rtol=0, atol=within * np.abs(second).max())


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("sequences", "masked", "backwards"),
    [(True, False, False), (True, True, False), (False, True, True)],
)
def test_outputs_states_and_gradients_equal_keras(form, sequences, masked, backwards):
    mask = MASK if masked else None
    compare(form, mask=mask, return_sequences=sequences, go_backwards=backwards)


@pytest.mark.tensorflow
def test_masked_outputs_of_zero_equal_keras(form):
    compare(form, mask=MASK, return_sequences=True, zero_output_for_mask=True, use_bias=False)


@pytest.mark.tensorflow
def test_half_precision_equals_keras(form):
    compare(form, 5e-3, mask=MASK, return_sequences=True, dtype="mixed_float16")


@pytest.mark.tensorflow
def test_sequences_of_any_length_in_a_nested_graph_equal_keras():
    import tensorflow as tf

    shape = tf.TensorSpec((None, None, FEATURES))
    compare(
        FastLSTM, wrap=lambda f: tf.function(f, [shape], autograph=False), return_sequences=True
    )


@pytest.mark.tensorflow
def test_a_gradient_outside_of_the_graph_of_the_layer_equals_keras():
    import tensorflow as tf

    gradients = []
    ours = built(FastGRU)
    for layer in (ours, built(keras.layers.GRU, ours.get_weights())):
        call = tf.function(lambda x, layer=layer: layer(x, training=True)[0], autograph=False)
        with tf.GradientTape() as tape:
            y = call(tf.constant(X))
        gradients.append(tape.gradient(y, layer.trainable_variables[0].value).numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
def test_gradients_equal_finite_differences():
    layer = built(FastGRU, return_sequences=True, dtype="float64")
    number = len(layer.state_size) + 1
    kernel = layer.trainable_variables[0]
    gradient = results(layer, MASK)[2 * number]
    value = kernel.numpy()
    for index in ((0, 0), (2, value.shape[1] - 1)):
        losses = []
        for change in (1e-6, -1e-6):
            changed = value.copy()
            changed[index] += change
            kernel.assign(changed)
            outputs = results(layer, MASK)[:number]
            losses.append(sum(np.sin((i + 1) * y).sum() for i, y in enumerate(outputs)))
        kernel.assign(value)
        assert abs((losses[0] - losses[1]) / 2e-6 - gradient[index]) < 1e-5


@pytest.mark.tensorflow
def test_dropout_samples_the_masks_of_keras(form):
    compare(form, return_sequences=True, dropout=0.5, seed=3)


@pytest.mark.tensorflow
def test_stateful_layers_keep_their_states(form):
    ours = built(form, stateful=True)
    theirs = built(FORMS[form][0], ours.get_weights(), stateful=True)
    for _ in range(2):
        first, second = (layer(X, training=True)[0] for layer in (ours, theirs))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"recurrent_dropout": 0.1}, {"unroll": True}, {"activation": "relu"}],
)
def test_other_options_use_the_loop_of_keras(form, options):
    ours = built(form, **options)
    assert not ours.has_fast_loop()


def test_inference_equals_keras_exactly(form):
    ours = built(form)
    theirs = built(FORMS[form][0], ours.get_weights())
    outputs = [keras.ops.convert_to_numpy(layer(X)[0]) for layer in (ours, theirs)]
    np.testing.assert_array_equal(*outputs)


def network(layer_class, bidirectional=False):
    x = keras.Input((None, FEATURES))
    layer = layer_class(UNITS, return_sequences=True, name="layer")
    layer = keras.layers.Bidirectional(layer, name="layer") if bidirectional else layer
    return keras.Model(x, keras.layers.Dense(2, name="last")(layer(x)))


@pytest.mark.parametrize(
    ("form", "bidirectional"), [(FastLSTM, True), (FastGRU, False), (FastSimpleRNN, False)]
)
def test_weights_and_portable_copies_are_those_of_keras(form, bidirectional, tmp_path):
    original = FORMS[form][0]
    models = [network(kind, bidirectional) for kind in (form, original)]
    for source in (0, 1):
        models[source].save_weights(tmp_path / "net.weights.h5")
        models[1 - source].load_weights(tmp_path / "net.weights.h5")
        same_weights(*models)
        models[1].set_weights([0.5 * weight for weight in models[1].get_weights()])
    copy = to_keras_layers(models[0])
    layer = copy.get_layer("layer")
    assert type(layer.forward_layer if bidirectional else layer) is original
    same_weights(copy, models[0])


def same_weights(first, second):
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_loads_in_safe_mode(form, tmp_path):
    assert keras.saving.get_registered_name(form) == f"kapps>{form.__qualname__}"
    model = network(form, bidirectional=True)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    assert type(loaded.get_layer("layer").backward_layer) is form
    same_weights(loaded, model)


def test_cudnn_is_used_under_the_conditions_of_keras(monkeypatch):
    assert why_not_cudnn(network(FastLSTM)) == {}
    assert "cuDNN has kernels" in why_not_cudnn(network(FastSimpleRNN))["layer"][0]
    if keras.backend.backend() == "tensorflow":
        monkeypatch.setattr(fast_recurrent, "has_gpu", lambda: True)
    assert not FastLSTM(4).has_fast_loop()
