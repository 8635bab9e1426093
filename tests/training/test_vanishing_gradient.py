"""Omega against its definition in NumPy, and its derivatives against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training

UNITS, STEPS, ROWS = 3, 5, 2
CURVES = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "linear": lambda a: a,
}


def forward(x, kernel, recurrent, bias, activation, nudges=None):
    """h of a simple recurrent network in NumPy; `nudges` are added to the pre-activations."""
    states, h = [], np.zeros((len(x), len(recurrent)))
    for t in range(x.shape[1]):
        a = x[:, t] @ kernel + h @ recurrent + bias + (0 if nudges is None else nudges[:, t])
        h = CURVES[activation](a)
        states.append(h)
    return np.stack(states, 1)


def numeric(function, at, width=1e-5):
    """The gradient of a scalar function by central differences."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += width
        down[index] -= width
        gradient[index] = (function(up) - function(down)) / (2 * width)
    return gradient


def omega_of(kernel, states, errors, activation):
    """Equation (9) with its norms written out; errors are dE/da."""
    if activation == "tanh":
        slopes = 1 - states**2
    elif activation == "sigmoid":
        slopes = states * (1 - states)
    else:
        slopes = (states > 0) * 1.0 if activation == "relu" else np.ones_like(states)
    total = 0.0
    for row in range(len(states)):
        for k in range(states.shape[1] - 1):
            jacobian = kernel.T * slopes[row, k]  # of a_{k+1} by a_k
            error = errors[row, k + 1]
            if np.linalg.norm(error) > 0:  # the gradient of a relu may be zero
                total += (np.linalg.norm(error @ jacobian) / np.linalg.norm(error) - 1) ** 2
    return total / len(states)


class Case:
    """A recurrent network with an output at every step, and its E, dE/da, Omega and dOmega/dW in NumPy."""

    def __init__(self, activation):
        draw = np.random.default_rng(1)
        self.x = draw.normal(size=(ROWS, STEPS, 2))
        self.y = draw.normal(size=(ROWS, STEPS, 1))
        self.kernel, self.bias = draw.normal(size=(2, UNITS)), draw.normal(size=UNITS) + 1
        self.recurrent, self.top = draw.normal(size=(UNITS, UNITS)), draw.normal(size=(UNITS, 1))
        self.activation = activation
        self.weights = [self.kernel, self.recurrent, self.bias, self.top]
        self.states = forward(self.x, self.kernel, self.recurrent, self.bias, activation)
        self.errors = numeric(self.loss_of_nudges, np.zeros((ROWS, STEPS, UNITS)))
        self.omega = omega_of(self.recurrent, self.states, self.errors, activation)
        self.push = numeric(self.omega_of_kernel, self.recurrent)
        self.gradient = numeric(self.loss_of_recurrent, self.recurrent)

    def loss(self, states):
        return np.mean((states @ self.top - self.y) ** 2)

    def loss_of_nudges(self, nudges):
        return self.loss(
            forward(self.x, self.kernel, self.recurrent, self.bias, self.activation, nudges)
        )

    def loss_of_recurrent(self, recurrent):
        return self.loss(forward(self.x, self.kernel, recurrent, self.bias, self.activation))

    def omega_of_kernel(self, kernel):
        """With constant states and errors, as in equation (10)."""
        return omega_of(kernel, self.states, self.errors, self.activation)

    def model(self, **options):
        x = keras.Input((None, 2))
        layer = keras.layers.SimpleRNN(
            UNITS, activation=self.activation, return_sequences=True, name="rnn", **options
        )
        states = layer(x)
        states = states[0] if options.get("return_state") else states
        model = keras.Model(x, keras.layers.Dense(1, use_bias=False)(states))
        model.set_weights(self.weights)
        return model


@pytest.mark.parametrize("activation", CURVES)
def test_omega_and_its_immediate_derivative_follow_the_paper(activation):
    case = Case(activation)
    direct = 2 * (case.states @ case.top - case.y) @ case.top.T / case.y.size
    kernel = tf.Variable(case.recurrent.astype("float32"))
    with tf.GradientTape() as tape:
        omega = training.vanishing_gradient_penalty(
            case.states.astype("float32"), direct.astype("float32"), kernel, activation
        )
    assert case.omega > 0.1
    assert float(omega) == pytest.approx(case.omega, rel=1e-4)
    np.testing.assert_allclose(tape.gradient(omega, kernel), case.push, rtol=1e-3, atol=1e-4)


def test_an_orthogonal_kernel_without_activation_keeps_the_norm():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(UNITS, UNITS)))
    states = np.ones((ROWS, STEPS, UNITS), "float32")
    gradients = np.random.default_rng(1).normal(size=states.shape).astype("float32")
    for factor, expected in ((1.0, 0.0), (0.5, (STEPS - 1) * 0.25), (3.0, (STEPS - 1) * 4.0)):
        kernel = (factor * turn).astype("float32")
        omega = training.vanishing_gradient_penalty(states, gradients, kernel, "linear")
        assert float(omega) == pytest.approx(expected, abs=1e-5)


def test_tiny_gradients_count():
    """The square of a gradient of 1e-24 is zero in float32, and Omega must include it."""
    kernel = (1e-6 * np.eye(UNITS)).astype("float32")
    gradients = np.zeros((1, STEPS, UNITS), "float32")
    gradients[:, -1] = 1.0
    omega = training.vanishing_gradient_penalty(
        np.ones_like(gradients), gradients, kernel, "linear"
    )
    assert float(omega) == pytest.approx((STEPS - 1) * (1 - 1e-6) ** 2, rel=1e-5)


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match=r"activation='gelu'.* linear, relu, sigmoid"):
        training.vanishing_gradient_penalty(*[np.ones((1, 2, 2), "float32")] * 2, np.eye(2), "gelu")


def test_steps_without_a_gradient_contribute_zero():
    gradients = np.zeros((1, STEPS, UNITS), "float32")
    gradients[:, 2] = 1.0
    kernel = tf.Variable(0.5 * np.eye(UNITS, dtype="float32"))
    with tf.GradientTape() as tape:
        omega = training.vanishing_gradient_penalty(
            np.ones_like(gradients), gradients, kernel, "linear"
        )
    assert float(omega) == pytest.approx(2 * 0.25)  # from step 2 to 1 and from 1 to 0
    assert np.isfinite(tape.gradient(omega, kernel)).all()


@pytest.mark.parametrize("options", [{}, {"return_state": True}])
def test_fit_applies_the_gradient_of_the_loss_and_of_omega(options):
    case = Case("tanh")
    model, rate, weight = case.model(**options), 0.1, 0.7
    trained = training.VanishingGradientModel(model, "rnn", weight)
    trained.compile(keras.optimizers.SGD(rate), "mse")
    batch = case.x.astype("float32"), case.y.astype("float32")
    logs = trained.fit(*batch, batch_size=ROWS, epochs=1, verbose=0).history
    assert logs["loss"] == [pytest.approx(case.loss(case.states), rel=1e-4)]
    assert logs["omega"] == [pytest.approx(case.omega, rel=1e-4)]
    weights = model.get_layer("rnn").get_weights()
    expected = case.recurrent - rate * (case.gradient + weight * case.push)
    np.testing.assert_allclose(weights[1], expected, rtol=1e-3, atol=1e-4)
    plain = case.model()
    plain.compile(keras.optimizers.SGD(rate), "mse")
    plain.fit(*batch, batch_size=ROWS, verbose=0)
    for one, other in zip(weights[::2], plain.layers[1].get_weights()[::2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)  # Omega depends on W only


def test_the_model_stays_plain_and_evaluates_as_itself(tmp_path):
    case = Case("tanh")
    model = case.model()
    trained = training.VanishingGradientModel(model, "rnn", 0.5)
    trained.compile(training.get_schedule("cosine").make_optimizer(ROWS, 8, accumulation=2), "mse")
    batch = case.x.astype("float32"), case.y.astype("float32")
    trained.fit(*batch, batch_size=1, epochs=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(batch[0], verbose=0), trained.predict(batch[0], verbose=0), rtol=1e-6
    )
    expected = np.mean((loaded.predict(batch[0], verbose=0) - batch[1]) ** 2)
    assert trained.evaluate(*batch, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert len(trained.trainable_weights) == len(model.trainable_weights)


@pytest.mark.long
def test_omega_lets_gradients_reach_further_back():
    """A network with vanishing gradients learns to keep more of their norm with Omega than without."""
    omegas = {}
    for weight in (0.0, 1.0):
        case = Case("tanh")
        case.recurrent *= 0.2
        trained = training.VanishingGradientModel(case.model(), "rnn", weight)
        trained.compile(keras.optimizers.SGD(0.05), "mse")
        batch = case.x.astype("float32"), case.y.astype("float32")
        logs = trained.fit(*batch, batch_size=ROWS, epochs=30, verbose=0).history
        omegas[weight] = logs["omega"]
    assert omegas[0.0][0] == pytest.approx(omegas[1.0][0])
    assert omegas[1.0][-1] < 0.7 * omegas[0.0][-1]


REPLICAS = """
import keras
import numpy as np
import tensorflow as tf

from kapps import training

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
draw = np.random.default_rng(0)
x, y = draw.normal(size=(8, 5, 2)).astype("float32"), draw.normal(size=(8, 5, 1)).astype("float32")
results = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        rnn = keras.layers.SimpleRNN(3, return_sequences=True, name="rnn")
        model = keras.Sequential([keras.Input((None, 2)), rnn, keras.layers.Dense(1)])
        trained = training.VanishingGradientModel(model, "rnn", 0.5)
        trained.compile(keras.optimizers.SGD(0.1), "mse")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    logs = trained.fit(data, shuffle=False, verbose=0).history
    results.append([logs["loss"][0], *np.concatenate([w.ravel() for w in model.get_weights()])])
print(np.abs(np.subtract(*results)).max())
"""


@pytest.mark.long
def test_two_replicas_train_as_one_device(forked):
    assert float(forked(REPLICAS, CUDA_VISIBLE_DEVICES="-1").split()[-1]) < 1e-5


def recurrent(layer, **options):
    model = keras.Sequential([keras.Input((6, 3)), layer], **options)
    model.build()
    return model


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.GRU(2, return_sequences=True, name="rnn"), "'rnn' is a GRU"),
        (keras.layers.SimpleRNN(2, name="rnn"), "return_sequences=False"),
        (
            keras.layers.SimpleRNN(2, return_sequences=True, recurrent_dropout=0.1, name="rnn"),
            r"recurrent_dropout=0\.1",
        ),
        (
            keras.layers.SimpleRNN(2, return_sequences=True, activation="gelu", name="rnn"),
            "activation='gelu'.* linear, relu, sigmoid, tanh",
        ),
    ],
)
def test_layers_that_the_equations_do_not_describe_are_an_error(layer, message):
    with pytest.raises(ValueError, match=message) as error:
        training.VanishingGradientModel(recurrent(layer), "rnn")
    assert "\n" not in str(error.value)


def test_masked_sequences_are_an_error():
    words = keras.Input((None,))
    states = keras.layers.Embedding(5, 3, mask_zero=True)(words)
    states = keras.layers.SimpleRNN(2, return_sequences=True, name="rnn")(states)
    with pytest.raises(ValueError, match="'rnn' has a mask before it"):
        training.VanishingGradientModel(keras.Model(words, states), "rnn")
