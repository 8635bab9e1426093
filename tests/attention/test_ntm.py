"""The neural Turing machine: the formula of its parameters, one step with its state, files, and the copy task."""

import keras
import numpy as np
import pytest

import kapps
from kapps.generation import step_models

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 2, (3, 6, 5)).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = dict(units=6, rows=5, width=3, read_heads=2, classes=4, input_shape=(None, 5))
    return kapps.families.ntm(**{**sizes, **options})


def count(*, inputs, outputs, units, rows, width, controller, learned):
    """The formula of MarkPKCollier/NeuralTuringMachine with one read head and one write head."""
    gates = 4 * units * (inputs + width + units + 1)
    if controller == "feed_forward":
        gates = units * (inputs + width + 1)
    heads = (units + 1) * (2 * (width + 6) + 2 * width)
    first = rows * width + 2 * rows + width if learned else 0
    return gates + heads + first + (units + width + 1) * outputs


def test_parameters_are_the_formula():
    sizes = dict(inputs=9, outputs=8, units=100, rows=128, width=20)
    for name, controller, learned, expected in (
        ("ntm_copy", "lstm", False, 62_260), ("ntm_copy_learned", "lstm", True, 65_096),
        ("ntm_copy_feed_forward", "feed_forward", False, 13_260),
    ):  # fmt: skip
        assert count(**sizes, controller=controller, learned=learned) == expected
        assert kapps.card(name).params == expected


@pytest.mark.parametrize("learned", [False, True])
def test_one_step_with_its_state_equals_the_sequence(learned):
    model = build(learned=learned)
    step = step_models.step_model(model)
    names = step_models.state_names(step)
    assert names == [f"machine_{name}" for name in ("h", "c", "reads", "weights", "memory")]
    states, logits = step_models.initial_states(step, 3), []
    for t in range(6):
        outputs = step({"sequence": X[:, t : t + 1], **states}, training=False)
        logits.append(array(outputs["logits"])[:, 0])
        states = {name: array(outputs[name]) for name in names}
    expected = array(keras.Model(model.input, model.get_layer("head_logits").output)(X))
    np.testing.assert_allclose(np.stack(logits, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert states["machine_memory"].shape == (3, 5 * 3)


@pytest.mark.long
@pytest.mark.tensorflow
def test_files_of_one_step_agree_with_it(tmp_path):
    from kapps import export

    step = step_models.step_model(build(), batch=1)
    shapes = {name: x.shape[1:] for name, x in step.input.items()}
    inputs = {name: RANDOM.uniform(0, 0.3, (1, *s)).astype("float32") for name, s in shapes.items()}
    for path in (
        export.tflite(step, tmp_path / "step.tflite"),
        export.saved_model(step, tmp_path / "step"),
    ):
        assert export.verify(step, path, inputs).failure() is None


def copy_batch(random, size, length, bits=3):
    """Bits, a flag, then as many steps in which the bits are to be written; and weights of those steps."""
    x = np.zeros((size, 2 * length + 1, bits + 1), "float32")
    x[:, :length, :bits], x[:, length, bits] = random.integers(0, 2, (size, length, bits)), 1
    y, weights = np.zeros((size, 2 * length + 1, bits)), np.zeros((size, 2 * length + 1))
    y[:, length + 1 :], weights[:, length + 1 :] = x[:, :length, :bits], 1
    return x, y, weights


@pytest.mark.long
def test_short_sequences_are_copied():
    """3 bits of 4 steps; chance is 6 wrong bits."""
    random = np.random.default_rng(0)
    model = build(units=32, rows=8, width=6, read_heads=1, classes=3, input_shape=(9, 4))
    optimizer = keras.optimizers.Adam(5e-3, global_clipnorm=10.0)
    model.compile(optimizer, "binary_crossentropy", jit_compile=False)
    for _ in range(600):
        model.train_on_batch(*copy_batch(random, 32, 4))
    x, y, weights = copy_batch(random, 100, 4)
    wrong = (array(model(x)) > 0.5) != y
    assert (wrong * weights[..., None]).sum() / 100 < 2
