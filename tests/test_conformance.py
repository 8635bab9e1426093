"""What every builder keeps to. A new family gets all of it by having a table.

Runs on every backend of Keras; what needs TensorFlow says so. By default the smallest member of each
family, beyond its parameters and its signature with few repeats of its blocks; with `--all` every
builder, whole. Of the deepest of them all but that is marked `long`, and runs in CI.
"""

import gc
import importlib
import inspect
import math
import pathlib

import keras
import numpy as np
import pytest
from members import equal, shortened

import kapps
from kapps import cards
from kapps.builders import pyramid_outputs

HALF = ((2, 2),)  # an odd map's last row is left out
WHOLE = ((3, 2),)  # whole windows alone
INCEPTION = {1: ((3, 2), (3, 1)), 2: ((3, 2), (3, 1)), 3: WHOLE, 4: WHOLE, 5: WHOLE}
UNPADDED = {
    "densenet": {3: HALF, 4: HALF, 5: HALF},
    "densenet_cifar": {1: HALF, 2: HALF},
    "xception": {1: ((3, 2), (3, 1))},
    "inception_v3": INCEPTION,
    "inception_resnet": INCEPTION,
    "googlenet": {2: HALF, 3: HALF, 4: HALF, 5: HALF},
    "googlenet_bn": {2: HALF, 3: HALF, 4: HALF},
    "inception_bn": {2: HALF, 3: HALF},
    "inception_v4": INCEPTION,
    "vgg": dict.fromkeys(range(1, 6), HALF),
}
"""Windows and strides of what comes to a level without padding, where a paper has it so."""
SIDES = {
    # A pooling of 3 by 2 makes n // 2 rows of n where it pads at the end, else (n - 1) // 2.
    "alexnet": lambda n: {level: (n // 4 - 1) >> level - 2 for level in range(2, 6)},
    "alexnet_owt": lambda n: {level: (n + 1 >> level) - 1 for level in range(2, 6)},
    "nin": lambda n: {level: (n - 3 >> level) - 1 for level in range(2, 6)},
    "squeezenet": lambda n: {level: n - 5 >> level for level in range(1, 5)},
    "squeezenet1_1": lambda n: {level: n - 1 >> level for level in range(1, 5)},
    "alexnet_single": lambda n: {level: (n - 3 >> level) - 1 for level in range(2, 6)},
    "lenet": lambda n: {0: n, 1: n // 2 - 4, 2: (n // 2 - 4) // 2},
    "zfnet": lambda n: (
        {1: (n - 3) // 2, 2: (n - 3) // 4, 3: (n - 15) // 8, 4: (n - 15) // 16, 5: (n - 15) // 32}
    ),
}
"""How high each level's map is where convolutions or poolings have no padding at several levels, by name or family."""

TRAINED = {
    # Deep without batch norms: at the others' steps their ReLUs die.
    **dict.fromkeys(
        ("alexnet", "alexnet_owt", "alexnet_single", "zfnet", "vgg", "squeezenet"),
        ("adam", 3e-4, 100, 0.7),
    ),
    "googlenet": ("sgd", 0.01, 100, 0.7),
    "inception_resnet": ("sgd", 0.01, 100, 0.7),  # sums that no batch norm follows
    "nin": ("sgd", 5e-3, 100, 0.85),  # ten ReLUs, and a half of the features dropped
    "nin_cifar": ("adam", 3e-4, 100, 0.85),
}  # fmt: skip
"""How a family trains that does not by 20 steps of SGD at 0.05: optimizer, rate, steps, and what the loss falls to."""

UNDELEGATED = {
    # What repeats the cells of a map smaller than the dense layer wants; at the papers' sizes there is none.
    **dict.fromkeys(("alexnet_single", "alexnet", "alexnet_owt", "zfnet", "vgg"), ("TILE",)),
    # Every second pixel, by a pooling of one pixel.
    **dict.fromkeys(("resnet_cifar", "sknet"), ("AVERAGE_POOL_2D",)),
}  # fmt: skip
"""The operations that LiteRT runs outside its CPU delegate, by family."""

LOAD = """
import sys
import numpy as np, keras
name, folder, tests = sys.argv[1:]

def predict(model, file):
    images = np.load(f"{folder}/images.npy")
    np.save(f"{folder}/{file}.npy", keras.ops.convert_to_numpy(model(images, training=False)))

sys.modules["kapps"] = None  # so that importing it fails as where it is not installed
predict(keras.saving.load_model(f"{folder}/portable.keras", safe_mode=True), "portable")
del sys.modules["kapps"]

import kapps
builder = getattr(kapps, name)
if tests:
    sys.path.append(tests)
    from members import shortened
    builder = shortened(builder)
model = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
predict(model, "model")
options = dict(input_shape=model.input_shape[1:], classes=10, classifier_activation=None)
predict(builder(weights=f"{folder}/model.weights.h5", **options), "weights")
"""


@pytest.fixture(scope="module")
def card(builder_name):
    """The builder's card."""
    yield cards.card(builder_name)
    gc.collect()  # models refer to themselves, and large ones would pile up


@pytest.fixture(scope="module")
def listed(card):
    """The builder itself."""
    return getattr(importlib.import_module(card.module), card.name)


@pytest.fixture(scope="module")
def builder(listed, request):
    """The builder with few repeats of its blocks, or with `--all` itself."""
    return listed if request.config.getoption("--all") else shortened(listed)


@pytest.fixture(scope="module")
def size(card):
    """A small size to run at, uneven at every level."""
    return card.minimum + 13


@pytest.fixture(scope="module")
def model(builder, size, randomise):
    """A small model that tests read and leave as it is, ending in logits."""
    keras.utils.set_random_seed(SEED)
    shape = (size, size, 3)
    return randomise(builder(input_shape=shape, classes=10, classifier_activation=None))


@pytest.fixture
def policy():
    """Sets a precision policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


SEED = 3


def run(model, images):
    """Returns the predictions as NumPy has them."""
    return keras.ops.convert_to_numpy(model(images, training=False))


def names(model):
    """Returns the names of the layers but for the head's."""
    layers = [layer.name for layer in model.layers]
    return [name for name in layers if not name.startswith(("head_", "predictions"))]


def side(card, size, level):
    """Returns how high a map is at a level: half as many rows, rounded up, but where a paper has it otherwise."""
    sides = SIDES.get(card.name, SIDES.get(card.family))
    if sides:
        return sides(size)[level]
    for each in range(1, level + 1):
        windows = UNPADDED.get(card.family, {}).get(each)
        if windows is None:
            size = math.ceil(size / 2)
        for window, strides in windows or ():
            size = (size - window) // strides + 1
    return size


def refused(kind, what, **options):
    """Returns the message of a refusal, asserted to be one line."""
    with pytest.raises(kind) as caught:
        what(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parameters_and_multiply_accumulates_are_the_reference(listed, card, figures, reference):
    expected, model = reference[card.name], listed()
    assert model.input_shape[1:] == card.input_shape
    assert model.output_shape == (None, card.classes)
    assert figures(model) == expected
    assert card.params == expected["trainable"]


@pytest.mark.shared
def test_signature_is_keras_applications(listed, card):
    theirs = list(inspect.signature(keras.applications.ResNet50).parameters)
    ours = inspect.signature(listed).parameters
    assert list(ours)[: len(theirs)] == theirs
    assert ours["classes"].default == card.classes and ours["name"].default == card.name
    assert ours["weights"].default is None
    assert f"{card.params:,}" in listed.__doc__ and card.paper in listed.__doc__


def test_shapes_with_and_without_the_top(builder, model, size):
    assert model.output_shape == (None, 10)
    shape = (size, size, 3)
    features = builder(input_shape=shape, include_top=False)
    height, width, channels = features.output_shape[1:]
    assert height == width < size and channels > 3
    pooled = builder(input_shape=shape, include_top=False, pooling="max")
    assert pooled.output_shape == (None, channels)
    assert names(pooled) == names(features) == names(model)


def test_endpoints_halve_the_resolution(card, model, size):
    levels = pyramid_outputs(model)
    assert list(levels) == list(range(min(levels), max(levels) + 1)) and len(levels) > 1
    for level, features in levels.items():
        assert features.shape[1:3] == (side(card, size, level),) * 2
    loaded = keras.Model.from_config(model.get_config())
    assert {k: v.shape for k, v in pyramid_outputs(loaded).items()} == {
        k: v.shape for k, v in levels.items()
    }


def test_any_size(builder, card, model, size, digits):
    ends = {"classes": 10, "classifier_activation": None}
    if not card.any_size:
        message = refused(ValueError, builder, input_shape=(None, None, 3))
        assert message.startswith(card.name) and "include_top=False" in message
        ends = {"include_top": False, "pooling": "avg"}
        model = builder(input_shape=(size, size, 3), **ends)
    free = builder(input_shape=(None, None, 3), **ends)
    assert names(free) == names(model)
    free.set_weights(model.get_weights())
    images, _ = digits(size)
    equal(run(free, images[:2]), run(model, images[:2]))
    assert run(free, digits(card.minimum)[0][:2]).shape == (2, model.output_shape[-1])


def test_four_channels_at_the_smallest_size(builder, card, digits, randomise):
    channels = 4  # training has 1, the other tests 3
    shape = (card.minimum, card.minimum, channels)
    model = randomise(builder(input_shape=shape, classes=7, classifier_activation=None))
    first, second, third = run(model, digits(card.minimum, channels)[0][:3])
    assert first.shape == (7,) and np.isfinite(third).all()
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()  # the image matters


@pytest.mark.parametrize("axis", [0, 1])
def test_one_pixel_below_the_smallest_size_is_refused(builder, card, axis):
    shape = [card.minimum, card.minimum, 3]
    shape[axis] -= 1
    message = refused(ValueError, builder, input_shape=tuple(shape))
    assert f"at least {card.minimum}" in message and str(tuple(shape)) in message
    assert message.startswith(card.name)
    message = refused(ValueError, builder, input_tensor=keras.Input(shape))
    assert f"at least {card.minimum}" in message


@pytest.mark.parametrize(
    "option, near",
    [("clases", "classes"), ("input_shap", "input_shape"), ("include_tops", "include_top")],
)
def test_unknown_option_is_refused(builder, card, option, near):
    message = refused(TypeError, builder, **{option: 10})
    assert card.name in message and option in message and f"Did you mean {near}" in message


@pytest.mark.parametrize(
    "options, allowed",
    [
        ({"pooling": "mean"}, '"avg" or "max"'),
        ({"classes": 0}, "positive integer"),
        ({"weights": "imagnet"}, ".weights.h5"),
        ({"input_shape": (64, 64)}, "(height, width, channels)"),
        ({"input_shape": (64, 64, None)}, "(height, width, channels)"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))[0, 0, 0]}, "keras.Input"),
    ],
)
def test_bad_value_is_refused(builder, card, options, allowed):
    small = {"input_shape": (card.minimum, card.minimum, 3), **options}
    message = refused(ValueError, builder, **small)
    assert message.startswith(card.name) and allowed in message


def test_predictions_are_float32_under_every_policy(builder, card, digits, policy, policy_name):
    policy(policy_name)
    model = builder(input_shape=(card.minimum, card.minimum, 3), classes=10)
    half = keras.DTypePolicy(policy_name).compute_dtype
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {half}
    assert {layer.compute_dtype for layer in model.layers[-2:]} == {"float32"}
    predictions = run(model, digits(card.minimum)[0][:8])
    assert model.output.dtype == "float32" and predictions.dtype == np.float32
    np.testing.assert_allclose(predictions.sum(axis=-1), 1, atol=1e-5)


def test_training_lowers_the_loss_on_real_images(builder, card, digits, request):
    size = max(card.minimum, 32)
    model = builder(input_shape=(size, size, 1), classes=10)
    kind, rate, steps, share = TRAINED.get(card.family, ("sgd", 0.05, 20, 0.7))
    optimizer = (
        keras.optimizers.Adam(rate) if kind == "adam" else keras.optimizers.SGD(rate, momentum=0.9)
    )
    # Tracing a step takes longer than some steps.
    eager = keras.backend.backend() == "tensorflow" and not request.config.getoption("--all")
    share = max(share, 0.85) if eager else share
    losses = train(model, *digits(size, channels=1), optimizer, steps, share, eager)
    assert np.isfinite(losses).all() and losses[-1] < share * losses[0]


def train(model, images, labels, optimizer, steps, share, eager):
    """Returns the losses of steps on one batch, until they have fallen to `share` of the first."""
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        run_eagerly=eager,
        jit_compile=keras.backend.backend() == "jax",  # TensorFlow's takes minutes to compile
    )
    losses = []
    while len(losses) < steps and not (losses and losses[-1] < share * losses[0]):
        losses.append(model.train_on_batch(images[:16], labels[:16]))
    return np.array(losses)


def test_files_load_in_a_fresh_process(model, card, size, digits, tmp_path, forked, request):
    images = digits(size)[0][:4]
    expected = run(model, images)
    np.save(tmp_path / "images.npy", images)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    kapps.to_keras_layers(model).save(tmp_path / "portable.keras")
    whole = request.config.getoption("--all")
    forked(LOAD, card.name, tmp_path, "" if whole else pathlib.Path(__file__).parent)
    equal(np.load(tmp_path / "model.npy"), expected)
    equal(np.load(tmp_path / "weights.npy"), expected)
    equal(np.load(tmp_path / "portable.npy"), expected, within=1e-5)


def test_stock_is_of_keras_own_layers(builder, model, size, digits):
    shape = (size, size, 3)
    portable = builder(input_shape=shape, classes=10, classifier_activation=None, portable=True)
    assert all(type(layer).__module__.startswith("keras.") for layer in portable.layers)
    assert names(portable) == names(model)
    portable.set_weights(model.get_weights())
    images = digits(size)[0][:4]
    equal(run(portable, images), run(model, images), within=1e-5)


def test_layers_are_keras_own_or_registered(model):
    assert type(model).__module__.startswith("keras.")
    for layer in model.layers:
        kind = type(layer)
        registered = keras.saving.get_registered_name(kind)
        assert kind.__module__.startswith("keras.") or registered.startswith("kapps>"), registered
        assert not isinstance(layer, (keras.layers.Lambda, keras.Model)), layer.name


@pytest.mark.shared
def test_two_models_in_one_graph(builder, model, size, digits, tmp_path):
    shape = (size, size, 3)
    image = keras.Input(shape)
    options = dict(input_shape=shape, classes=10, classifier_activation=None)
    both = [model, builder(**options, name="second")]
    graph = keras.Model(image, keras.layers.Average()([each(image) for each in both]))
    images = digits(size)[0][:4]
    mean = (run(both[0], images) + run(both[1], images)) / 2
    equal(run(graph, images), mean, within=1e-5)
    assert len(graph.trainable_variables) == 2 * len(model.trainable_variables)
    graph.save(tmp_path / "both.keras")
    loaded = keras.saving.load_model(tmp_path / "both.keras", safe_mode=True)
    assert {model.name, "second"} < {layer.name for layer in loaded.layers}
    equal(run(loaded, images), mean, within=1e-5)


@pytest.mark.shared
def test_input_tensor(builder, model, size, digits):
    image = keras.Input((size, size, 3), name="pixels")
    scaled = keras.layers.Rescaling(2.0, name="twice")(image)
    on_top = builder(input_tensor=scaled, classes=10, classifier_activation=None)
    assert [each.name for each in on_top.inputs] == ["pixels"]
    assert names(on_top)[:2] == ["pixels", "twice"] and names(on_top)[2:] == names(model)[1:]
    on_top.set_weights(model.get_weights())
    images = digits(size)[0][:2]
    equal(run(on_top, images), run(model, 2 * images))


@pytest.mark.shared
def test_a_seed_fixes_the_weights(builder, model, size):
    options = dict(input_shape=(size, size, 3), classes=10, classifier_activation=None)
    for seed, same in [(SEED, True), (SEED + 1, False)]:
        keras.utils.set_random_seed(seed)
        drawn = zip(kernels(builder(**options)), kernels(model), strict=True)
        assert {np.array_equal(a, b) for a, b in drawn} == {same}


def kernels(model):
    """Returns what is drawn, and no fixture has changed."""
    return [keras.ops.convert_to_numpy(x) for x in model.trainable_variables if "kernel" in x.name]


@pytest.mark.tensorflow
def test_exported_forms_agree(card, model, size, digits, tmp_path):
    from kapps import export

    images = digits(size)[0][:8]
    for path in (
        export.saved_model(model, tmp_path / "served"),
        export.tflite(model, tmp_path / "model.tflite"),
    ):
        report = export.verify(model, path, images)
        # Untrained networks give logits of any size; float32's rounding grows with them.
        assert report.largest_difference < 1e-4 * max(1, report.largest_value)
        assert report.top1_agreement == 1
    left = set(export.runtime.undelegated_operations(tmp_path / "model.tflite"))
    assert left <= set(UNDELEGATED.get(card.family, ()))
